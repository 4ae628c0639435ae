"""`mmseq predict`: raw inputs to a table of predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from mmseq.cli._model import open_model
from mmseq.cli._options import Plugin, RawInput, TableOutput, TrainedModel


def command(
    run: TrainedModel,
    input: RawInput,
    output: TableOutput,
    every_step: Annotated[
        bool, typer.Option("--every-step", help="A row for each step, knowing nothing later.")
    ] = False,
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrated", help="Probabilities, sets and intervals of the calibration; see `calibrate`."
        ),
    ] = False,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Predict every task for each sample of some raw data; labels need not be there.

    Example: mmseq predict runs/flights --input data/flights --output predictions.csv
    """
    from mmseq.inference.predict import check_output, predict, write_table
    from mmseq.place import leads

    check_output(output, input)
    model = open_model(run, plugin)
    predictions = predict(model, input, every_step=every_step, calibrated=calibrated)
    if not leads():
        return
    write_table(predictions.table, output)
    print(f"{predictions.table.num_rows} rows written to {output}")
    for line in predictions.notes():
        print(f"warning: {line}")
