"""When a store is built, found again, or left unfinished."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmseq.errors import CheckpointError, DataError
from mmseq.sources import Pivot, Reading
from mmseq.sources.memory import MemorySource
from mmseq.sources.tables import MISSING, TablesSource
from mmseq.store import Plan, Store, prepare

Build = Callable[..., Store]
PLAN = Plan({"v": Reading("v.csv", "t", ("x",))})


def source_of(folder: Path, content: str = "id,t,x\na,0,1\nb,1,2\n") -> TablesSource:
    (folder / "v.csv").write_text(content)
    return TablesSource(root=folder, id="id", group=None, missing=MISSING)


def test_found_again(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    first = prepare(PLAN, source, tmp_path / "stores")
    stamp = (first.path / "manifest.json").stat().st_mtime_ns
    os.utime(tmp_path / "v.csv")  # small files count by their contents
    again = prepare(PLAN, source, tmp_path / "stores")
    assert (again.path, (again.path / "manifest.json").stat().st_mtime_ns) == (first.path, stamp)


def test_anything_else_is_another_store(tmp_path: Path) -> None:
    source, folder = source_of(tmp_path), tmp_path / "stores"
    stores = [prepare(PLAN, source, folder)]
    for change in ({"unit": "hours"}, {"resolution": 2.0}, {"anchor": "v"}, {"until": 9.0}, {"known": True}):
        stores.append(prepare(replace(PLAN, **change), source, folder))
    other = TablesSource(root=tmp_path, id="id", group=None, missing=["", "1"])
    stores.append(prepare(PLAN, other, folder))
    stores.append(prepare(PLAN, source_of(tmp_path, "id,t,x\na,0,1\nb,1,3\n"), folder))
    assert len({store.path for store in stores}) == len(stores)


def test_a_store_of_an_older_schema_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Schema 2 cut times of text to microseconds, and took any NaN for missing."""
    source, folder = source_of(tmp_path), tmp_path / "stores"
    with monkeypatch.context() as then:
        for module in ("plan", "build", "manifest"):
            then.setattr(f"mmseq.store.{module}.SCHEMA", 2)
        old = prepare(PLAN, source, folder)
    new = prepare(PLAN, source, folder)
    assert (new.path != old.path, new.manifest.schema_version) == (True, 4)
    with pytest.raises(CheckpointError, match="a store of schema 4 can be read; 2 came"):
        Store.open(old.path)


def test_large_files_count_by_name_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmseq.sources.files.SMALL", 4)
    source = source_of(tmp_path)
    first = source.fingerprint(["v.csv"])
    assert source.fingerprint(["v.csv"]) == first
    os.utime(tmp_path / "v.csv", ns=(1, 1))
    assert source.fingerprint(["v.csv"]) != first


def test_same_data_give_the_same_bytes(build: Build, tmp_path: Path) -> None:
    first = build()
    files = contents(first)
    first.path.rename(tmp_path / "kept")
    again = build()
    assert again.path == first.path
    assert contents(again) == files


def contents(store: Store) -> dict[Path, bytes]:
    files = [path for path in store.path.rglob("*") if path.is_file()]
    return {path.relative_to(store.path): path.read_bytes() for path in files}


def test_nothing_but_the_store_is_left(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    store = prepare(PLAN, source, tmp_path / "stores")
    assert [path.name for path in (tmp_path / "stores").iterdir()] == [store.path.name]
    names = {path.name for path in store.path.iterdir()}
    assert names == {*store.manifest.files, "manifest.json", "manifest.sha256", "shard-00000"}
    assert {path.name for path in (store.path / "shard-00000").iterdir()} == set(
        store.manifest.shards[0].files
    )


def test_an_error_leaves_other_stores_alone(tmp_path: Path) -> None:
    store = prepare(PLAN, source_of(tmp_path), tmp_path / "stores")
    with pytest.raises(DataError):
        prepare(PLAN, source_of(tmp_path, "id,t,x\na,0,one\n"), tmp_path / "stores")
    assert [path.name for path in (tmp_path / "stores").iterdir()] == [store.path.name]
    Store.open(store.path)


def _prepare(folder: Path, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    source = TablesSource(root=folder, id="id", group=None, missing=MISSING)
    assert len(prepare(PLAN, source, folder / "stores")) == 2


def test_at_the_same_time(tmp_path: Path) -> None:
    source_of(tmp_path)
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_prepare, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list((tmp_path / "stores").iterdir())) == 1


def _hang(folder: Path) -> None:
    import mmseq.store.build

    mmseq.store.build.write_rows = lambda *_: time.sleep(60)
    prepare(PLAN, TablesSource(root=folder, id="id", group=None, missing=MISSING), folder / "stores")


def test_a_killed_preparation_is_swept_away(tmp_path: Path) -> None:
    source = source_of(tmp_path)
    process = multiprocessing.get_context("fork").Process(target=_hang, args=(tmp_path,))
    process.start()
    for _ in range(300):
        if list((tmp_path / "stores").glob(".mmseq-partial.*/shard-*")):
            break
        time.sleep(0.1)
    alive = next((tmp_path / "stores").glob(".mmseq-partial.*"))
    prepare(replace(PLAN, unit="hours"), source, tmp_path / "stores")
    assert alive.exists()  # someone still works there
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    prepare(PLAN, source, tmp_path / "stores")
    assert not alive.exists()
    assert len(list((tmp_path / "stores").iterdir())) == 2


def test_samples_without_a_table_of_samples(tmp_path: Path) -> None:
    """The union of the modalities' ids, in the order of numbers where all are numbers."""
    for ids, want in (([10, 9, 9, 100], ["9", "10", "100"]), (["b10", "b9"], ["b10", "b9"])):
        tables = {
            "v": {"id": ids, "t": [0] * len(ids), "x": [1.0] * len(ids)},
            "w": {"id": ids[:1], "x": [2.0]},
        }
        plan = Plan({"v": Reading("v", "t", ("x",)), "w": Reading("w", numbers=("x",))})
        source = MemorySource(tables, id="id", group=None)
        assert prepare(plan, source, tmp_path).ids.tolist() == want


def test_order_of_the_table_of_samples(tmp_path: Path) -> None:
    tables = {"samples": {"id": ["z", "a", "m"]}, "v": {"id": ["a", "q"], "t": [0, 1], "x": [1.0, 2.0]}}
    plan = Plan({"v": Reading("v", "t", ("x",))}, samples="samples")
    store = prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)
    assert store.ids.tolist() == ["z", "a", "m"]
    assert store.lengths.tolist() == [1, 1, 1]  # a sample without events has one step
    assert store.gather(np.array([0])).time.tolist() == [0.0]
    assert store.entry("v").report["of absent samples"] == 1


def test_known_data_may_lack_anything(tmp_path: Path) -> None:
    tables = {"v": {"id": ["a"], "t": [0], "code": ["hr"], "x": [1.0]}}
    plan = Plan({"v": Reading("v", "t", ("hr", "bp"), pivot=Pivot("code", "x"))}, known=True)
    store = prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)
    np.testing.assert_array_equal(store.gather(np.array([0])).events["v"].arrays["values"], [[1, np.nan]])
    records = [{"id": 1, "v": [{"t": 3, "hr": 80}]}, {"id": 2}]
    plan = Plan(
        {
            "v": Reading("v", "t", ("hr", "bp")),
            "w": Reading("w", "t", ("x",)),
            "drug": Reading("d", codes=("c",)),
        },
        known=True,
    )
    store = prepare(plan, MemorySource(records, id="id", group=None), tmp_path)
    rows = store.gather(np.arange(2)).events
    np.testing.assert_array_equal(rows["v"].arrays["values"], [[80, np.nan]])
    assert (len(rows["w"]), len(rows["drug"])) == (0, 0)
    empty = prepare(plan, MemorySource([], id="id", group=None), tmp_path)
    assert (len(empty), empty.gather(np.array([], np.int64)).time.shape) == (0, (0,))


def test_known_data_may_have_empty_tables(tmp_path: Path) -> None:
    plan = Plan({"v": Reading("v.csv", "t", ("x",)), "w": Reading("w.csv", "t", ("x",))}, known=True)
    source = source_of(tmp_path)
    (tmp_path / "w.csv").write_text("id,t,x\n")
    frames = {"v.csv": {"id": ["a", "b"], "t": [0, 1], "x": [1, 2]}, "w.csv": {"id": [], "t": [], "x": []}}
    for given in (source, MemorySource(frames, id="id", group=None)):
        store = prepare(plan, given, tmp_path / "stores")
        assert (store.n_events("v").tolist(), store.n_events("w").tolist()) == ([1, 1], [0, 0])


DATES = {"id": ["a", "a"], "t": ["2024-01-01 00:00:00.000001", "2024-01-01 00:00:02"], "x": [1, 2]}


@pytest.mark.parametrize("until", [None, "2024-01-01T00:00:01", "last"])
def test_known_data_with_dates_may_have_empty_tables(until: str | None, tmp_path: Path) -> None:
    plan = Plan({"w": Reading("w", "t", ("x",)), "v": Reading("v", "t", ("x",))}, until=until, known=True)
    samples = {"id": ["a"], "last": ["2024-01-01T00:00:01"]}
    empty = {"id": [], "t": [], "x": []}
    tables = {"samples": samples, "v": DATES, "w": empty}
    store = prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)
    assert (store.n_events("v").tolist(), store.n_events("w").tolist()) == ([2 if until is None else 1], [0])
    assert store.origins.tolist() == [1_704_067_200_000_001_000]
    record = {name: column[0] for name, column in samples.items()}
    for given in (tables | {"v": empty}, [record]):
        store = prepare(plan, MemorySource(given, id="id", group=None), tmp_path)
        assert store.gather(np.array([0])).time.tolist() == [0.0]


def test_last_times_may_all_be_missing(tmp_path: Path) -> None:
    tables = {"samples": {"id": ["a"], "last": [""]}, "v": DATES}
    plan = Plan({"v": Reading("v", "t", ("x",))}, until="last")
    store = prepare(plan, MemorySource(tables, id="id", group=None), tmp_path)
    assert store.n_events("v").tolist() == [2]


def test_too_little_memory(tmp_path: Path) -> None:
    n = 300_000
    tables = {"v": {"id": np.arange(n), "t": np.arange(n), "x": np.random.default_rng(0).random(n)}}
    plan = Plan({"v": Reading("v", "t", ("x",))})
    with pytest.raises(DataError, match=r"data\.memory_limit: 2MB is too little; .* raise it"):
        prepare(plan, MemorySource(tables, id="id", group=None), tmp_path / "stores", memory_limit="2MB")
    assert not list(tmp_path.iterdir())
