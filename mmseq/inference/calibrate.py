"""Fits a calibration of a run's model, keeps it in the bundle, and says what it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmseq.bundle import read_folder, write_folder
from mmseq.calibration.evidence import Choice, Evidence, Measures
from mmseq.calibration.model import CALIBRATION, Calibration, Fitted, NoTask, columns_of, fit_task
from mmseq.errors import ConfigError
from mmseq.inference.bootstrap import Collected, collect
from mmseq.model_bundle import SCHEMA
from mmseq.place import one_process
from mmseq.random import hash_name
from mmseq.run import Run


@torch.no_grad()
def calibrate(
    run: Run | str | Path,
    split: str = "validation",
    *,
    coverage: float = 0.9,
    method: str = "temperature",
    by: str = "sample",
    report: str | None = None,
    data: Any = None,
) -> dict[str, Any]:
    """Fits what calibration there is of each task, and keeps it in the run's bundle.

    Args:
        run: a finished run, or its folder.
        split: whose labels it is fitted to: validation or test, but never train, which the model has learned.
        coverage: share of labels that sets and intervals are to hold.
        method: `temperature` (one scale) or `vector` (a scale and a bias a class) for classes.
        by: what counts as one in coverage, and stays together: a `sample`, or a `group`.
        report: a split whose labels say what it is worth; None: those of `split`, in five parts of which each
            is judged by a fit to the others.
        data: tables in memory, for a source of kind `memory`.

    Returns:
        By task, or column of several: `labels`, and `units` that have any; `measures` by name, each a pair,
        before and after, NaN where there is none; whether it is `fitted`; and `remark`, what is missing. Kept
        in `metrics/calibration.json`, too.

    Raises:
        ConfigError: a split or value is none that can be, no task can be calibrated, or a launcher started
            several processes.
        DataError: samples of the run are gone from the data.
    """
    one_process("calibrate")
    run, choice = Run.of(run), Choice(coverage, method, by)
    _check(split, report)
    # Once: what answers is what the calibration is for, whatever the folder has later. The old one may be
    # damaged: it is replaced.
    model = run.model(with_calibration=False)
    digest = model.digest()
    known = collect(run, split, data, by, model)
    other = known if report is None else collect(run, report, data, by, model)
    tasks: dict[str, Fitted] = {}
    rows: dict[str, Any] = {}
    for task in known.tasks:
        tasks[task], measures = fit_task(model.experiment.tasks[task], _evidence(known, task), choice)
        judges = _evidence(other, task)
        if report is not None:
            measures = _judged(tasks[task], judges, choice)
        rows |= _rows(task, tasks[task], measures, judges)
    if not any(row["fitted"] for row in rows.values()):
        why = "; ".join(f"{name}: {row['remark']}" for name, row in rows.items())
        raise ConfigError(f"{run.path}: no task can be calibrated on the {split} split; {why}")
    given = {"split": split, "coverage": coverage, "method": method, "unit": by}
    _keep(run, Calibration.model_validate({**given, "model": digest, "tasks": tasks}))
    run.write_report("calibration", rows)
    return rows


def _check(split: str, report: str | None) -> None:
    if split == "train":
        raise ConfigError(
            "calibrate: needs labels that the model has not learned; the train split came; name "
            "validation or test"
        )
    if report == split:
        raise ConfigError(
            f"calibrate: report: the {split} split is what is fitted; name another, or leave it out, and "
            "parts of it judge one another"
        )


def _evidence(collected: Collected, task: str) -> Evidence:
    answers = collected.tasks[task]
    keys = [(hash_name(str(name)), str(name)) for name in collected.units]
    rank = np.empty(len(keys), np.int64)
    rank[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    unit = np.repeat(np.arange(len(keys)), np.diff(answers.starts))
    return Evidence(answers.head, answers.parameters, answers.target, unit, rank)


def _judged(fitted: Fitted, evidence: Evidence, choice: Choice) -> list[Measures]:
    return [] if isinstance(fitted, NoTask) else fitted.measure(evidence, choice)


def _rows(task: str, fitted: Fitted, measures: list[Measures], evidence: Evidence) -> dict[str, Any]:
    """What is reported of each column of a task; of one that is not calibrated, that."""
    if isinstance(fitted, NoTask):
        return {
            task: {"labels": len(evidence.unit), "fitted": False, "measures": {}, "remark": fitted.reason}
        }
    rows = {}
    for c, (name, column) in enumerate(columns_of(fitted, task, evidence.head).items()):
        labels, units = evidence.counts(c)
        known = {"labels": labels, "units": units, "fitted": not column.is_empty, "measures": measures[c]}
        rows[name] = known | {"remark": column.remark}
    return rows


def _keep(run: Run, calibration: Calibration) -> None:
    """Puts it into the bundle, whose other files stay as they are, to the byte."""
    files = read_folder(run.bundle, SCHEMA, lambda name: name != CALIBRATION)
    write_folder(run.bundle, {**files, CALIBRATION: calibration.dump()}, SCHEMA)
