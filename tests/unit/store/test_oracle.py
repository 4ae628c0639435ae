"""Random tables against a store made of Python lists and dicts, for every way of merging clocks."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmseq.store.merge
import mmseq.store.payload
import mmseq.store.pivot
from mmseq.sources import Pivot, Reading
from mmseq.sources.memory import MemorySource
from mmseq.store import Gathered, Plan, Store, prepare

Table = list[dict[str, Any]]
START = datetime(2024, 2, 28, 22, 30, tzinfo=UTC)
MODALITIES = {
    "vitals": Reading("vitals", "t", ("hr", "bp")),
    "labs": Reading("labs", "t", pivot=Pivot("code", "value")),
    "drugs": Reading("drugs", "t", codes=("drug", "route")),
    "person": Reading("person", None, ("age",)),
}
TASKS = {
    "outcome": Reading("outcomes", None, codes=("outcome",)),
    "score": Reading("scores", "t", ("score",)),
}
PLANS = {
    "plain": {},
    "until": {"until": "last"},
    "until a time": {"until": 6.0},
    "resolution": {"resolution": 1.5},
    "anchor": {"anchor": "vitals"},
    "all": {"anchor": "labs", "resolution": 1.5, "until": "last"},
}


@pytest.fixture(params=["whole", "in parts"], autouse=True)
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, cells and timelines in memory at a time: all, or so few that samples straddle the parts."""
    if request.param == "in parts":
        monkeypatch.setattr(mmseq.store.payload, "ROWS", 7)
        monkeypatch.setattr(mmseq.store.pivot, "CELLS", 6)
        monkeypatch.setattr(mmseq.store.merge, "BLOCK_ROWS", 20)


def random_tables(seed: int) -> dict[str, Table]:
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in rng.permutation(40)[:12]]

    def rows(n: int, **columns: Any) -> Table:
        times = rng.integers(0, 50, n) / 4
        return [
            {"id": int(rng.choice(ids)), "t": float(t), **{k: draw() for k, draw in columns.items()}}
            for t in times
        ]

    def maybe(draw: Any) -> Any:
        return lambda: None if rng.random() < 0.3 else draw()

    return {
        "samples": [{"id": i, "last": maybe(lambda: float(rng.integers(1, 12)))()} for i in ids],
        "vitals": rows(
            60, hr=maybe(lambda: float(rng.integers(50, 99))), bp=maybe(lambda: float(rng.normal()))
        ),
        "labs": rows(
            60, code=lambda: str(rng.choice(["na", "k", "ph"])), value=lambda: float(rng.integers(9))
        ),
        "drugs": rows(
            30, drug=maybe(lambda: f"d{rng.integers(4)}"), route=lambda: str(rng.choice(["iv", "po"]))
        ),
        "person": [{"id": i, "age": float(rng.integers(18, 99))} for i in ids if rng.random() < 0.7],
        "outcomes": [
            {"id": i, "outcome": str(rng.choice(["home", "died"]))} for i in ids if rng.random() < 0.7
        ],
        "scores": rows(30, score=lambda: float(rng.normal())),
    }


class Oracle:
    """One sample after the other, one row after the other."""

    def __init__(self, plan: Plan, tables: dict[str, Table]) -> None:
        self.plan, self.tables = plan, tables
        self.labs = sorted({row["code"] for row in tables["labs"]})
        self.averaged = 0
        self.samples = {row["id"]: self.sample(row["id"]) for row in tables["samples"]}

    def bin(self, t: float) -> float:
        width = self.plan.resolution
        return t if width is None else math.ceil(t / width) * width

    def last(self, id: int) -> float:
        if isinstance(self.plan.until, float):
            return self.plan.until
        if self.plan.until is None:
            return math.inf
        (last,) = [row["last"] for row in self.tables["samples"] if row["id"] == id]
        return math.inf if last is None else last

    def events(self, name: str, id: int) -> list[tuple[float, tuple[Any, ...]]]:
        rows = sorted(
            (row for row in self.tables[name] if row["id"] == id and row["t"] <= self.last(id)),
            key=lambda row: row["t"],
        )
        if name != "labs":
            columns = MODALITIES[name].numbers + MODALITIES[name].codes
            return [(row["t"], tuple(row[c] for c in columns)) for row in rows]
        cells: dict[float, dict[str, list[float]]] = {}
        for row in rows:
            cells.setdefault(row["t"], {}).setdefault(row["code"], []).append(row["value"])
        self.averaged += sum(len(values) > 1 for codes in cells.values() for values in codes.values())
        return [
            (t, tuple(np.mean(codes[c]) if c in codes else None for c in self.labs))
            for t, codes in cells.items()
        ]

    def sample(self, id: int) -> dict[str, Any]:
        events = {name: self.events(name, id) for name in ("vitals", "labs", "drugs")}
        clocks = [self.plan.anchor] if self.plan.anchor else list(events)
        steps = sorted({self.bin(t) for name in clocks for t, _ in events[name]}) or [0.0]
        if self.plan.anchor and not events[self.plan.anchor]:
            events = {name: [] for name in events}
        placed = {
            name: [
                (next(i for i, s in enumerate(steps) if s >= self.bin(t)), values)
                for t, values in events[name]
                if self.bin(t) <= steps[-1]
            ]
            for name in events
        }
        scores = sorted(
            ((row["t"], row["score"]) for row in self.tables["scores"] if row["id"] == id),
            key=lambda label: label[0],
        )
        has_events = any(events.values())
        return {
            "steps": steps,
            "has_events": has_events,
            "events": placed,
            "person": [(row["age"],) for row in self.tables["person"] if row["id"] == id],
            "outcome": [row["outcome"] for row in self.tables["outcomes"] if row["id"] == id],
            "score": [(max(i for i, s in enumerate(steps) if s <= t), v) for t, v in scores if t >= steps[0]],
        }


def as_moments(tables: dict[str, Table]) -> dict[str, Table]:
    """The same times as dates: minutes after a start, some of them in another time zone."""

    def moment(minutes: float | None, i: int) -> str | None:
        if minutes is None:
            return None
        at = START + timedelta(minutes=minutes)
        return at.isoformat() if i % 3 else at.replace(tzinfo=None).isoformat(sep=" ")

    return {
        name: [
            {k: moment(v, i) if k in ("t", "last") else v for k, v in row.items()}
            for i, row in enumerate(table)
        ]
        for name, table in tables.items()
    }


def build(folder: Path, plan: Plan, tables: dict[str, Table], shard_events: int = 40) -> Store:
    return prepare(plan, MemorySource(tables, id="id", group=None), folder, shard_events=shard_events)


def compare(store: Store, oracle: Oracle, moments: bool = False) -> None:
    ids = list(oracle.samples)
    assert store.ids.tolist() == [str(i) for i in ids]
    rng = np.random.default_rng(0)
    picks = [np.arange(len(ids)), rng.integers(0, len(ids), 30), np.array([3]), np.array([7])]
    for picked in picks:
        gathered = store.gather(picked)
        for place, index in enumerate(picked):
            check_sample(store, gathered, place, oracle.samples[ids[index]], moments)


def check_sample(store: Store, batch: Gathered, place: int, want: dict[str, Any], moments: bool) -> None:
    first, stop = batch.starts[place : place + 2]
    origin = want["steps"][0] if moments else 0.0
    np.testing.assert_allclose(batch.time[first:stop], np.array(want["steps"]) - origin, atol=1e-12)
    for name, expected in want["events"].items():
        rows = batch.events[name]
        mine = slice(*rows.starts[place : place + 2])
        assert (rows.step[mine] - first).tolist() == [step for step, _ in expected]
        assert cells(store, name, rows.arrays, mine) == [
            [None if v is None else v if isinstance(v, str) else np.float32(v) for v in values]
            for _, values in expected
        ]
    person = batch.events["person"]
    mine = slice(*person.starts[place : place + 2])
    assert (person.step[mine].tolist(), person.arrays["values"][mine].tolist()) == (
        [place] * len(want["person"]),
        [list(row) for row in want["person"]],
    )
    outcome, score = batch.targets["outcome"], batch.targets["score"]
    mine = slice(*outcome.starts[place : place + 2])
    assert outcome.step[mine].tolist() == [stop - 1] * len(want["outcome"])
    assert [store.vocabularies("outcome")[0][c] for c in outcome.arrays["code"][mine, 0]] == want["outcome"]
    mine = slice(*score.starts[place : place + 2])
    assert (score.step[mine] - first).tolist() == [step for step, _ in want["score"]]
    np.testing.assert_allclose(score.arrays["values"][mine, 0], [v for _, v in want["score"]], rtol=1e-6)


def cells(store: Store, name: str, arrays: dict[str, np.ndarray], rows: slice) -> list[list[Any]]:
    if "values" in arrays:
        return [[None if np.isnan(v) else v for v in row] for row in arrays["values"][rows]]
    words = store.vocabularies(name)
    return [
        [None if c < 0 else words[i][c] for i, c in enumerate(row)] for row in arrays["code"][rows].tolist()
    ]


@pytest.mark.parametrize("way", PLANS)
@pytest.mark.parametrize("seed", range(2))
def test_numbers(way: str, seed: int, tmp_path: Path) -> None:
    tables = random_tables(seed)
    plan = Plan(MODALITIES, TASKS, samples="samples", **PLANS[way])
    oracle = Oracle(plan, tables)
    store = build(tmp_path, plan, tables)
    assert len(store.manifest.shards) > 1
    compare(store, oracle)
    assert store.entry("labs").report["averaged cells"] == oracle.averaged
    for name in ("vitals", "labs", "drugs"):
        steps = [[step for step, _ in sample["events"][name]] for sample in oracle.samples.values()]
        assert store.shared_steps(name) == any(len(set(s)) < len(s) for s in steps)
        assert store.n_events(name).tolist() == [len(s) for s in steps]


@pytest.mark.parametrize("way", [way for way in PLANS if way != "until a time"])
def test_moments(way: str, tmp_path: Path) -> None:
    tables = random_tables(8)
    options = dict(PLANS[way])
    oracle = Oracle(Plan(MODALITIES, TASKS, samples="samples", **options), tables)
    if "resolution" in options:
        options["resolution"] *= 60  # seconds; the start is on a bound
    plan = Plan(MODALITIES, TASKS, samples="samples", unit="minutes", **options)
    store = build(tmp_path, plan, as_moments(tables))
    compare(store, oracle, moments=True)
    for origin, sample in zip(store.origins, oracle.samples.values(), strict=True):
        want = START + timedelta(minutes=sample["steps"][0])
        if sample["has_events"]:
            assert origin == int(want.timestamp()) * 10**9
        else:
            assert origin == np.iinfo(np.int64).min


def test_shards_do_not_matter(tmp_path: Path) -> None:
    tables = random_tables(5)
    plan = Plan(MODALITIES, TASKS, samples="samples", resolution=0.5)
    many = build(tmp_path / "many", plan, tables, shard_events=1).gather(np.arange(12))
    one = build(tmp_path / "one", plan, tables, shard_events=10**6).gather(np.arange(12))
    np.testing.assert_array_equal(many.time, one.time)
    for name, rows in (one.events | one.targets).items():
        other = (many.events | many.targets)[name]
        np.testing.assert_array_equal(rows.step, other.step)
        for part, array in rows.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[part])
