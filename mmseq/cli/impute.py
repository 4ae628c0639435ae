"""`mmseq impute`: a table of numbers with gaps to one without."""

from __future__ import annotations

from typing import Annotated

import typer

from mmseq.cli._model import open_model
from mmseq.cli._options import Plugin, RawInput, TableOutput, TrainedModel


def command(
    run: TrainedModel,
    input: RawInput,
    output: TableOutput,
    task: Annotated[
        str | None, typer.Option("--task", help="Task of kind imputation, where the run has several.")
    ] = None,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Fill the missing numbers of a table by a task of kind imputation, and mark what was filled.

    Example: mmseq impute runs/vitals --input data/vitals --output filled.csv
    """
    from mmseq.inference.impute import impute, write_imputed
    from mmseq.inference.predict import check_output
    from mmseq.place import leads

    check_output(output, input)
    model = open_model(run, plugin)
    imputed = impute(model, input, task=task, keep_text=output.suffix == ".csv")
    if not leads():
        return
    write_imputed(imputed.table, output)
    told = ", ".join(f"{n} of {feature}" for feature, n in imputed.filled.items())
    print(f"{imputed.table.num_rows} rows written to {output}; filled: {told}")
    for line in imputed.notes:
        print(f"warning: {line}")
