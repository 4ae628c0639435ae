"""A store's profile as tables to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from mmseq.store.profile import counted


def profile_tables(profile: Mapping[str, Any]) -> list[Table]:
    """Splits, inputs, columns and labels; `profile` as `mmseq.store.profile` gives it."""
    return [
        _splits(profile["splits"]),
        _modalities(profile["modalities"]),
        _missing(profile["modalities"]),
        _labels(profile["tasks"], list(profile["splits"])),
    ]


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left")


def _splits(splits: Mapping[str, Any]) -> Table:
    table = _table("samples", "split", "samples", "steps", "steps p50", "steps p99", "longest")
    for name, split in splits.items():
        steps = split["steps"]
        spread = (f"{steps[key]:,.0f}" for key in ("sum", "p50", "p99", "max"))
        table.add_row(name, f"{split['samples']:,}", *spread)
    return table


def _modalities(modalities: Mapping[str, Any]) -> Table:
    table = _table("inputs", "modality", "events", "a sample p50", "p99", "samples without", "remarks")
    for name, modality in modalities.items():
        events = modality["events_per_sample"]
        table.add_row(
            name,
            f"{modality['events']:,}",
            f"{events['p50']:,.0f}",
            f"{events['p99']:,.0f}",
            f"{modality['samples_without']:.1%}",
            counted(modality["remarks"]),
        )
    return table


def _missing(modalities: Mapping[str, Any]) -> Table:
    table = _table("missing values", "modality", "column", "missing")
    for name, modality in modalities.items():
        for column, share in modality["missing"].items():
            table.add_row(name, column, f"{share:.1%}")
    return table


def _labels(tasks: Mapping[str, Any], splits: list[str]) -> Table:
    table = _table("labels", "task", "label", *splits, "remarks")
    for name, task in tasks.items():
        remarks = counted(task["remarks"])
        for label in task[splits[0]]:
            table.add_row(name, label, *(_count(task[split][label]) for split in splits), remarks)
            name, remarks = "", ""
    return table


def _count(label: int | Mapping[str, Any]) -> str:
    """How many there are, and of numbers their mean."""
    if isinstance(label, int):
        return f"{label:,}"
    mean = f", mean {label['mean']:.3g}" if "mean" in label else ""
    return f"{label['labels']:,}{mean}"
