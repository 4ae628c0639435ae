"""`mmseq evaluate`: how good a trained model is on a split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmseq.cli._options import Plugin
from mmseq.config.splits import SplitName


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    split: Annotated[SplitName, typer.Option(help="Samples to evaluate on.")] = SplitName.validation,
    early: Annotated[
        bool,
        typer.Option("--early", help="Show each metric against the share of the sequence seen."),
    ] = False,
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Show every task's metrics beside its baseline, and keep them and the predictions in the run.

    Example: mmseq evaluate runs/flights --split test
    """
    from rich.console import Console

    from mmseq.inference.early import evaluate_early
    from mmseq.inference.evaluate import evaluate
    from mmseq.place import leads
    from mmseq.run import Run
    from mmseq.training.tables import early_table, result_table

    opened = Run(run, plugins=plugin)
    if early:
        table = early_table(evaluate_early(opened, split.value), split.value)
        written = f"metrics/{split.value}-early.json"
    else:
        table = result_table(evaluate(opened, split.value), split.value)
        written = f"metrics/{split.value}.json and predictions/{split.value}.parquet"
    if leads():
        Console(width=160 if early else None).print(table)
        print(f"written: {written} in {opened.path}")
