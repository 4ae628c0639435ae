"""What a store must hold, made of Python lists and dicts, one sample and one row after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from dirty_tables import Row, Tables

from mmseq.store import Gathered, Store

MINUTE = 60 * 10**9
NO_ORIGIN = np.iinfo(np.int64).min
EVENTS = {"vitals": ("hr", "bp"), "drugs": ("drug",)}
STATIC = {"ward": ("samples", "ward"), "age": ("samples", "age")}
LABELS = {"outcome": ("labels", "outcome"), "score": ("labels", "score")}

Counts = dict[str, dict[str, int]]


@dataclass
class Wanted:
    """What is known of one sample.

    Attributes:
        times: of its steps, absolute.
        is_bare: it has no timed event.
        rows: by modality and task, (step within the sample, cells); None as the step of what has none.
    """

    times: list[Any]
    is_bare: bool
    rows: dict[str, list[tuple[int | None, tuple[Any, ...]]]]


class Oracle:
    """Everything that follows from tables by the rules of `docs/store.md`.

    Args:
        truth: what the tables mean.
        until: events later than a sample's `last` are dropped.
        clock: `number` or `moment`.
    """

    def __init__(self, truth: Tables, until: bool, clock: str) -> None:
        self.truth, self.until, self.clock = truth, until, clock
        self.ids = [row["id"] for row in truth["samples"]]
        self.items = sorted({row["item"] for row in truth["labs"] if row["value"] is not None})
        self.remarks: Counts = {}
        self._count_absent()
        self.samples = [self._sample(row) for row in truth["samples"]]

    def _note(self, name: str, why: str, n: int = 1) -> None:
        if n:
            counts = self.remarks.setdefault(name, {})
            counts[why] = counts.get(why, 0) + n

    def _count_absent(self) -> None:
        known = set(self.ids)
        of = {"vitals": "vitals", "labs": "labs", "drugs": "drugs", "stage": "stages"}
        for name, table in (of | {task: table for task, (table, _) in LABELS.items()}).items():
            rows = [row for row in self.truth[table] if table != "labs" or row["value"] is not None]
            self._note(name, "of absent samples", sum(row["id"] not in known for row in rows))

    def _mine(self, table: str, id: str) -> list[Row]:
        return sorted((row for row in self.truth[table] if row["id"] == id), key=lambda row: row["t"])

    def _sample(self, sample: Row) -> Wanted:
        last = sample["last"] if self.until and sample["last"] is not None else math.inf
        events: dict[str, list[tuple[Any, tuple[Any, ...]]]] = {}
        for name in ("vitals", "labs", "drugs"):
            rows = [r for r in self._mine(name, sample["id"]) if name != "labs" or r["value"] is not None]
            kept = [row for row in rows if row["t"] <= last]
            self._note(name, "after until", len(rows) - len(kept))
            events[name] = (
                self._pivoted(kept)
                if name == "labs"
                else [(row["t"], tuple(row[c] for c in EVENTS[name])) for row in kept]
            )
        times = sorted({t for rows in events.values() for t, _ in rows})
        is_bare = not times
        steps = times or [0 if self.clock == "number" else -math.inf]
        placed: dict[str, list[tuple[int | None, tuple[Any, ...]]]] = {
            name: [(steps.index(t), cells) for t, cells in rows] for name, rows in events.items()
        }
        placed["stage"] = self._stages(sample["id"], steps, last)
        for name, (_, column) in STATIC.items():
            placed[name] = [(None, (sample[column],))]
        for name, (table, column) in LABELS.items():
            placed[name] = [(None, (r[column],)) for r in self.truth[table] if r["id"] == sample["id"]]
        return Wanted([0] if is_bare else steps, is_bare, placed)

    def _pivoted(self, rows: list[Row]) -> list[tuple[Any, tuple[Any, ...]]]:
        cells: dict[Any, dict[str, list[float]]] = {}
        for row in rows:
            cells.setdefault(row["t"], {}).setdefault(row["item"], []).append(row["value"])
        for codes in cells.values():
            self._note("labs", "averaged cells", sum(len(values) > 1 for values in codes.values()))
        return [
            (t, tuple(sum(codes[i]) / len(codes[i]) if i in codes else None for i in self.items))
            for t, codes in cells.items()
        ]

    def _stages(self, id: str, steps: list[Any], last: Any) -> list[tuple[int | None, tuple[Any, ...]]]:
        placed: list[tuple[int | None, tuple[Any, ...]]] = []
        for row in self._mine("stages", id):
            if row["t"] < steps[0]:
                self._note("stage", "before the first step")
                continue
            self._note("stage", "kept after until", int(row["t"] > last))
            placed.append((sum(t <= row["t"] for t in steps) - 1, (row["stage"],)))
        return placed

    # Against a store.

    def check(self, store: Store, splits: bool, groups: bool) -> None:
        """Fails where the store holds anything else."""
        assert store.ids.tolist() == self.ids
        assert store.manifest.clock == self.clock
        rows = self.truth["samples"]
        assert (store.splits.tolist() if splits else None) == ([r["part"] for r in rows] if splits else None)
        if groups:
            assert [store.group_names[g] for g in store.groups] == [row["family"] for row in rows]
        got = {name: store.entry(name).remarks for name in [*store.modalities, *store.tasks]}
        assert {name: counts for name, counts in got.items() if counts} == self.remarks
        gathered = store.gather(np.arange(len(self.ids)))
        for place, want in enumerate(self.samples):
            self._check_steps(store, gathered, place, want)
            for name, expected in want.rows.items():
                self._check_rows(store, gathered, place, name, expected)

    def _check_steps(self, store: Store, gathered: Gathered, place: int, want: Wanted) -> None:
        time = gathered.time[slice(*gathered.starts[place : place + 2])].tolist()
        if self.clock == "number":
            assert time == [float(t) for t in want.times]
            return
        origin = NO_ORIGIN if want.is_bare else want.times[0]
        assert int(store.origins[place]) == origin
        assert time == [(t - want.times[0]) / MINUTE for t in want.times]

    def _check_rows(
        self, store: Store, gathered: Gathered, place: int, name: str, expected: list[Any]
    ) -> None:
        is_label = name in store.tasks
        rows = (gathered.targets if is_label else gathered.events)[name]
        mine = slice(*rows.starts[place : place + 2])
        first, stop = gathered.starts[place : place + 2]
        whole = stop - 1 if is_label else place  # a static row is its sample's; a label its last step's
        steps = [whole if step is None else first + step for step, _ in expected]
        assert rows.step[mine].tolist() == steps, name
        assert _cells(store, name, rows.arrays, mine) == [
            [_stored(store, name, value) for value in cells] for _, cells in expected
        ], name


def _stored(store: Store, name: str, value: Any) -> Any:
    """A number as the store's precision has it."""
    return (
        value
        if value is None or isinstance(value, str)
        else float(np.dtype(store.entry(name).dtype).type(value))
    )


def _cells(store: Store, name: str, arrays: dict[str, np.ndarray], rows: slice) -> list[list[Any]]:
    if "values" in arrays:
        return [[None if np.isnan(v) else float(v) for v in row] for row in arrays["values"][rows]]
    words = store.vocabularies(name)
    return [
        [None if c < 0 else words[i][c] for i, c in enumerate(row)] for row in arrays["code"][rows].tolist()
    ]
