"""What is shown before and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from mmseq.fit import labels
from mmseq.heads import HidingConfig
from mmseq.model import Model
from mmseq.split import Split
from mmseq.store import Store
from mmseq.store.profile import counted


def plan_tables(model: Model, store: Store, splits: Split, device: str, n_processes: int = 1) -> list[Table]:
    """Inputs, tasks and size of what is about to be trained."""
    train = splits["train"]
    inputs = _table("inputs", "modality", "kind", "events", "per sample", "missing", "remarks")
    for name, config in model.experiment.modalities.items():
        events = store.n_events(name)[train]
        missing = getattr(model.facts.modalities[name], "missing", None)
        share = "" if missing is None else f"{100 * float(np.mean(missing)):.1f} %"
        kind = config.kind + (" (static)" if name in model.static else "")
        remarks = counted({**store.entry(name).remarks, **model.modalities[name].remarks()})
        inputs.add_row(name, kind, f"{events.sum():,}", f"{events.mean():.1f}", share, remarks)
    tasks = _table("tasks", "task", "kind", "labels", "weight", "remarks")
    for task, head in model.experiment.tasks.items():
        n, remarks = "from the inputs", ""
        if task in store.tasks:
            n = f"{len(model.heads[task].encode(labels(store, task, train)).row):,}"
            remarks = _remarks(store, task)
        elif negatives := model.heads[task].negatives:
            remarks = f"told apart from {negatives} others"
        elif isinstance(head, HidingConfig):
            remarks = f"{head.hide:.0%} of the cells hidden"
        tasks.add_row(task, head.kind, n, f"{head.weight:g}", remarks)
    size = _table("training", "samples", "steps", "longest", "parameters", "device")
    n_parameters = sum(p.numel() for p in model.parameters())
    samples = " / ".join(f"{len(splits[name]):,}" for name in splits)
    lengths = store.lengths[train]
    if n_processes > 1:
        device = f"{n_processes} × {device}"
    size.add_row(samples, f"{lengths.sum():,}", f"{lengths.max():,}", f"{n_parameters:,}", device)
    return [inputs, tasks, size]


def result_table(report: dict[str, Any], split: str) -> Table:
    """Each task's metrics beside its baselines'."""
    told = [name for result in report.values() for name, value in result.items() if isinstance(value, dict)]
    names = list(dict.fromkeys(name for name in told if name not in ("metrics", "baseline")))
    columns = ("task", "labels", "metric", "model", "baseline", *names)
    table = _table(f"{split} split", *columns)
    for task, result in report.items():
        for i, (metric, value) in enumerate(result["metrics"].items()):
            first = (task, f"{result['labels']:,}") if i == 0 else ("", "")
            others = (_number(result.get(name, {}).get(metric)) for name in ("baseline", *names))
            table.add_row(*first, metric, _number(value), *others)
    return table


def interval_table(report: dict[str, Any], split: str) -> Table:
    """Each task's metrics, and where 95 % of them lie over resampled groups or samples."""
    table = _table(f"{split} split", "task", "metric", "model", "95 % interval")
    for task, metrics in report.items():
        for i, (metric, found) in enumerate(metrics.items()):
            low, high = map(_number, found["interval"])
            table.add_row(task if i == 0 else "", metric, _number(found["value"]), f"{low} … {high}")
    return table


def difference_table(report: dict[str, Any], split: str, run: str, other: str) -> Table:
    """Each task's metrics of two runs, and where 95 % of their differences lie."""
    table = _table(f"{split} split", "task", "metric", run, other, f"{run} − {other}, 95 % interval")
    for task, metrics in report.items():
        for i, (metric, found) in enumerate(metrics.items()):
            low, high = found["difference"]
            mark = "  *" if low > 0 or high < 0 else ""
            interval = f"{_number(low)} … {_number(high)}{mark}"
            values = (_number(found["run"]), _number(found["other"]), interval)
            table.add_row(task if i == 0 else "", metric, *values)
    table.caption = "* the interval does not contain 0"
    return table


def calibration_table(report: dict[str, Any], split: str, unit: str) -> Table:
    """Each task's measures of how sure it is, before calibration and after."""
    table = _table(f"{split} split", "task", "labels", f"{unit}s", "measure", "before", "after")
    for task, row in report.items():
        for i, (measure, change) in enumerate(row["measures"].items()):
            counts = (task, str(row["labels"]), str(row["units"])) if i == 0 else ("", "", "")
            table.add_row(*counts, measure, *map(_number, change))
    return table


def early_table(report: dict[str, Any], split: str) -> Table:
    """Each task's metrics, a column for each share of the sequence that was seen."""
    table = _table(
        f"{split} split, as of a share of the steps", "task", "metric", *(f"{float(s):.0%}" for s in report)
    )
    first = next(iter(report.values()))
    for task, result in first.items():
        for i, metric in enumerate(result["metrics"]):
            values = [_number(at[task]["metrics"][metric]) for at in report.values()]
            table.add_row(task if i == 0 else "", metric, *values)
    return table


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _remarks(store: Store, name: str) -> str:
    """Of the whole data, how many rows were dropped or changed on the way into the store, and why."""
    return counted(store.entry(name).remarks)


def _number(value: float | None) -> str:
    return "–" if value is None or value != value else f"{value:.4g}"
