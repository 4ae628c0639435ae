"""`mmseq calibrate`: how sure a trained model is, set right on a split."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._options import Plugin
from mmseq.config.splits import SplitName


class _Method(StrEnum):
    temperature = "temperature"
    vector = "vector"


class _Unit(StrEnum):
    sample = "sample"
    group = "group"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    split: Annotated[SplitName, typer.Option(help="Samples to fit to; not train.")] = SplitName.validation,
    coverage: Annotated[
        float, typer.Option(help="Share of labels that sets and intervals are to hold.")
    ] = 0.9,
    method: Annotated[
        _Method, typer.Option(help="Of classes: one scale, or a scale and a bias a class.")
    ] = _Method.temperature,
    by: Annotated[_Unit, typer.Option(help="What counts as one in coverage.")] = _Unit.sample,
    report: Annotated[
        SplitName | None,
        typer.Option(
            help="Samples that show what it is worth; without, parts of the split, each by the others."
        ),
    ] = None,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Fit probabilities, sets of classes and intervals of numbers, and keep them with the model.

    `mmseq predict --calibrated` tells them. Shown are the expected calibration error (ece), −log p (nll),
    coverage, and the size of sets or the width of intervals, before and after.

    Example: mmseq calibrate runs/flights --coverage 0.9 --report test
    """
    from rich.console import Console

    from mmseq.inference.calibrate import calibrate
    from mmseq.run import Run
    from mmseq.training.tables import calibration_table

    opened, shown = Run(run, plugins=plugin), None if report is None else report.value
    found = calibrate(opened, split.value, coverage=coverage, method=method.value, by=by.value, report=shown)
    Console().print(calibration_table(found, shown or f"parts of the {split.value}", by.value))
    print(f"a coverage of {coverage:g} was asked for; in it, each {by.value} counts as one")
    for name, row in found.items():
        if row["remark"]:
            print(f"{name}: {row['remark']}")
    print(f"written: model/calibration.json and metrics/calibration.json in {opened.path}")
