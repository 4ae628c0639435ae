"""From an experiment to a trained model in a run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console

from mmseq.bundle import dump_json
from mmseq.config.experiment import Experiment
from mmseq.config.load import load_config
from mmseq.data import prepare
from mmseq.inference.evaluate import evaluate
from mmseq.run import Run
from mmseq.split import split_ids
from mmseq.training.sitting import Sitting
from mmseq.training.tables import plan_tables, result_table


def train(
    experiment: Experiment | str | Path | Mapping[str, Any],
    *,
    data: Any = None,
    output: Path = Path("runs"),
    resume: Run | None = None,
    source: str | None = None,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> Run:
    """Trains, and leaves everything in a run's folder.

    Args:
        experiment: what to run, or what `load_config` makes it from.
        data: tables in memory, for a source of kind `memory`.
        output: folder of runs.
        resume: go on with this run instead of starting one.
        source: the text of the user's YAML, kept in the run.
        console: where to show tables and progress; None: show nothing.
        callbacks: Lightning callbacks of your own.

    Raises:
        ConfigError, DataError: config or data break a rule; no run folder is left behind.
        Interrupted: SIGINT or SIGTERM came; a checkpoint was written.
        NumericError: a gradient is not finite.
    """
    if not isinstance(experiment, Experiment):
        experiment = load_config(experiment)
    console = console or Console(quiet=True)
    if experiment.training.threads:
        torch.set_num_threads(experiment.training.threads)
    store = prepare(experiment, data)
    sitting = Sitting(experiment, store, resume, data)
    run = resume or Run.create(Path(output), experiment, source)
    if resume is None:
        run.splits.write_bytes(dump_json(split_ids(sitting.splits, store)))
    for table in plan_tables(sitting.model, store, sitting.splits, sitting.device):
        console.print(table)
    sitting.fit(run, console, callbacks)
    sitting.model.save(run.path / "model")
    validation = sitting.splits["validation"]
    if len(validation):
        report = evaluate(run, "validation", data)
        console.print(result_table(report, "validation"))
    following = f"run folder: {run.path}"
    if len(sitting.splits["test"]):
        following += f"\nnext: {run.command('evaluate')} --split test"
    console.print(following, markup=False, highlight=False, soft_wrap=True)
    return run
