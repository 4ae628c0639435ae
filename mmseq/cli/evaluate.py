"""`mmseq evaluate`: how good a trained model is on a split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmseq.cli._options import Plugin
from mmseq.config.splits import SplitName

if TYPE_CHECKING:
    from mmseq.run import Run


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    split: Annotated[SplitName, typer.Option(help="Samples to evaluate on.")] = SplitName.validation,
    early: Annotated[
        bool,
        typer.Option("--early", help="Show each metric against the share of the sequence seen."),
    ] = False,
    bootstrap: Annotated[
        int | None,
        typer.Option(min=2, help="Show where 95 % of each metric lie, over so many resamplings of groups."),
    ] = None,
    against: Annotated[
        list[Path],
        typer.Option(metavar="RUN", help="Show each metric's difference to another run; may be repeated."),
    ] = [],  # noqa: B006
    plugin: Plugin = [],  # noqa: B006 – typer reads the default, nobody changes it
) -> None:
    """Show every task's metrics beside its baseline, and keep them and the predictions in the run.

    Example: mmseq evaluate runs/flights --split test
    """
    from rich.console import Console

    from mmseq.errors import ConfigError
    from mmseq.inference.early import evaluate_early
    from mmseq.inference.evaluate import evaluate
    from mmseq.place import leads
    from mmseq.run import Run
    from mmseq.training.tables import early_table, result_table

    if early and (bootstrap or against):
        raise ConfigError("--early: goes alone; leave --bootstrap and --against out")
    opened = Run(run, plugins=plugin)
    if bootstrap or against:
        _compare(opened, [Run(path, plugins=plugin) for path in against], split.value, bootstrap)
        return
    if early:
        table = early_table(evaluate_early(opened, split.value), split.value)
        written = f"metrics/{split.value}-early.json"
    else:
        table = result_table(evaluate(opened, split.value), split.value)
        written = f"metrics/{split.value}.json and predictions/{split.value}.parquet"
    if leads():
        Console(width=160 if early else None).print(table)
        print(f"written: {written} in {opened.path}")


def _compare(run: Run, others: list[Run], split: str, repeats: int | None) -> None:
    """Intervals of a run's metrics, or of their differences to other runs'."""
    from rich.console import Console

    from mmseq.inference.bootstrap import REPEATS, collect, differences, intervals
    from mmseq.place import one_process
    from mmseq.training.tables import difference_table, interval_table

    one_process("evaluate --bootstrap and --against")
    mine, repeats = collect(run, split), repeats or REPEATS
    if not others:
        report = intervals(mine, repeats)
        Console().print(interval_table(report, split))
        print(f"written: {run.write_report(f'{split}-intervals', report)}")
    for other in others:
        compared = differences(mine, collect(other, split), repeats)
        Console().print(difference_table(compared, split, run.path.name, other.path.name))
        print(f"written: {run.write_report(f'{split}-against-{other.path.name}', compared)}")
