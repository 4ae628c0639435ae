"""Public sets with known counts; skipped where they are not at hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mmseq.sources import Pivot, Reading
from mmseq.sources.tables import MISSING, TablesSource
from mmseq.store import Plan, prepare

DATA = Path(__file__).parents[3].parent / "shared" / "data"


def needs(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not at ../shared/data/{name}")
    return folder


@pytest.mark.slow
def test_p12(tmp_path: Path) -> None:
    root = needs("p12")
    static = ("Age", "Gender", "Height", "ICUType")
    long = "p12_long.csv.gz"
    plan = Plan(
        {
            "all": Reading(long, "minute", pivot=Pivot("param", "value")),
            "person": Reading(long, None, static, pivot=Pivot("param", "value")),
        },
        unit="minutes",
    )
    source = TablesSource(root=root, id="record", group=None, missing=MISSING)
    store = prepare(plan, source, tmp_path, shard_events=1_000_000)
    assert store.entry("all").report["rows"] == 5_271_415
    assert len(store) == 12_000
    assert len(store.columns("all")) == 41
    people = store.gather(np.arange(len(store)), ["person"], []).events["person"].arrays["values"]
    assert people.shape == (12_000, 4)
    series = np.zeros(len(store), np.int64)
    timed = [i for i, name in enumerate(store.columns("all")) if name not in (*static, "Weight")]
    for samples in np.array_split(np.arange(len(store)), 20):
        batch = store.gather(samples, ["all"], []).events["all"]
        real = ~np.isnan(batch.arrays["values"][:, timed]).all(1)
        series[samples] = np.add.reduceat(real.astype(np.int64), batch.starts[:-1])
    assert (series == 0).sum() == 12


@pytest.mark.parametrize(("name", "n_events", "n_cases", "n_codes"), [
    ("helpdesk", 13_710, 3_804, 9),
    ("bpi_12_w", 72_413, 9_658, 6),
])  # fmt: skip
def test_event_logs(name: str, n_events: int, n_cases: int, n_codes: int, tmp_path: Path) -> None:
    root = needs("event_logs")
    plan = Plan(
        {"activity": Reading(f"{name}.csv", "CompleteTimestamp", codes=("ActivityID",))}, unit="hours"
    )
    source = TablesSource(root=root, id="CaseID", group=None, missing=MISSING)
    store = prepare(plan, source, tmp_path)
    assert (store.n_events("activity").sum(), len(store)) == (n_events, n_cases)
    assert len(store.vocabularies("activity")[0]) == n_codes
    whole = store.gather(np.arange(len(store)))
    with (root / f"{name}.csv").open() as file:
        first = {row["CaseID"]: row["ActivityID"] for row in reversed(list(csv.DictReader(file)))}
    rows = whole.events["activity"]
    codes = [store.vocabularies("activity")[0][c] for c in rows.arrays["code"][rows.starts[:-1], 0]]
    assert dict(zip(store.ids.tolist(), codes, strict=True)) == first
