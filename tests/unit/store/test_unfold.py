"""Windows of recordings in a store, against lists made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import mmseq.store.stream
from mmseq.errors import DataError
from mmseq.sources import Reading, Recordings
from mmseq.sources.memory import MemorySource
from mmseq.sources.tables import TablesSource
from mmseq.store import Plan, Store, prepare

RATE, SIZE, HOP = 10.0, 4, 2
WINDOWS = Recordings("x", "float32", (SIZE, 1), RATE, RATE, SIZE, HOP)
SOUND = Reading("sounds", "t", payload=WINDOWS)
LENGTHS = [25, 3, 4, 0, 11, 9, 30, 5, 17, 4]
STARTS = [7.0, 0.1, 0.0, 3.0, 2.5, -1.0, 2.0, 2.0, 0.3, 1.0]
IDS = [f"s{i % 3}" for i in range(len(LENGTHS))]


@pytest.fixture(params=["whole", "in parts"], autouse=True)
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in parts":
        monkeypatch.setattr(mmseq.store.stream, "cells_at_a_time", lambda connection, content: 2)


def signals() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=n).astype(np.float32) for n in LENGTHS]


def tables(**more: Any) -> dict[str, Any]:
    return {"sounds": {"id": IDS, "t": STARTS, "x": [s.astype(np.float64) for s in signals()]}, **more}


def expected(start: bool = True) -> list[tuple[str, float, np.ndarray]]:
    """(id, end, window), by sample and time, then in the order of the table; ends are sums of decimals."""
    found = []
    for row, (id, signal) in enumerate(zip(IDS, signals(), strict=True)):
        for k in range((len(signal) - SIZE) // HOP + 1 if len(signal) >= SIZE else 0):
            end = float(Decimal(str(STARTS[row] if start else 0)) + Decimal(SIZE + k * HOP) / 10)
            found.append((id, end, row, signal[k * HOP : k * HOP + SIZE]))
    return [(id, end, window) for id, end, _, window in sorted(found, key=lambda one: one[:3])]


def built(folder: Path, given: Any, plan: Plan, **options: Any) -> Store:
    return prepare(plan, MemorySource(given, id="id", group=None), folder, **options)


def rows_of(store: Store, name: str = "sound") -> list[tuple[str, float, np.ndarray]]:
    gathered = store.gather(np.arange(len(store)))
    rows = gathered.events[name]
    sample = np.searchsorted(gathered.starts, rows.step, side="right") - 1
    payload = rows.arrays["payload"]
    return [
        (store.ids[s].item(), float(t), w[:, 0])
        for s, t, w in zip(sample, gathered.time[rows.step], payload, strict=True)
    ]


def assert_same(found: list[tuple[str, float, np.ndarray]], wanted: list[Any]) -> None:
    assert [row[:2] for row in found] == [row[:2] for row in wanted]
    for (_, _, window), (_, _, other) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(window, other)


@pytest.mark.parametrize("form", ["arrays", "JSON", "npy", "files"])
def test_windows_there_and_back(tmp_path: Path, form: str) -> None:
    """Recordings of one sample overlap in time, so that several are open at once."""
    given = tables()
    if form == "JSON":
        given["sounds"]["x"] = [str(s.tolist()) for s in given["sounds"]["x"]]
    if form == "npy":
        given["sounds"]["x"] = [s[:, None] for s in given["sounds"]["x"]]
    if form == "files":
        folder = tmp_path / "data"
        folder.mkdir()
        for row, signal in enumerate(signals()):
            soundfile.write(folder / f"{row}.wav", signal, int(RATE), subtype="FLOAT")
        lines = [f"{id},{t},{row}.wav" for row, (id, t) in enumerate(zip(IDS, STARTS, strict=True))]
        (folder / "sounds.csv").write_text("\n".join(["id,t,x", *lines, "s1,5.0,"]) + "\n")
        source = TablesSource(root=folder, id="id", group=None, missing=[""])
        reading = Reading("sounds.csv", "t", payload=WINDOWS)
        store = prepare(Plan({"sound": reading}), source, tmp_path / "stores", shard_events=20)
    else:
        store = built(tmp_path, given, Plan({"sound": SOUND}), shard_events=20)
    assert_same(rows_of(store), expected())
    assert store.entry("sound").remarks == {"recordings shorter than a window": 2}
    assert store.entry("sound").timed and len(store.manifest.shards) > 1


def test_without_a_column_of_starts_all_begin_at_0(tmp_path: Path) -> None:
    store = built(tmp_path, tables(), Plan({"sound": Reading("sounds", None, payload=WINDOWS)}))
    assert_same(rows_of(store), expected(start=False))


def test_until_cuts_recordings(tmp_path: Path) -> None:
    last = {"s0": 2.0, "s1": 3.0, "s2": 2.6}
    given = tables(samples={"id": list(last), "last": list(last.values())})
    plan = Plan({"sound": SOUND}, samples="samples", until="last")
    store = built(tmp_path, given, plan)
    assert_same(rows_of(store), [row for row in expected() if row[1] <= last[row[0]]])
    assert store.entry("sound").report["after until"] > 10


def test_windows_share_steps_with_other_events(tmp_path: Path) -> None:
    """A window that ends when a number comes is of the same step."""
    given = tables(numbers={"id": ["s0", "s0", "s1"], "t": [7.4, 7.5, 9.0], "y": [1.0, 2.0, 3.0]})
    store = built(tmp_path, given, Plan({"sound": SOUND, "numbers": Reading("numbers", "t", ("y",))}))
    gathered = store.gather(np.array([0]))
    step = gathered.events["numbers"].step
    assert gathered.time[step].tolist() == [7.4, 7.5]
    assert [int((gathered.events["sound"].step == one).sum()) for one in step] == [1, 0]
    assert_same(rows_of(store), expected())


def test_bins_and_anchors(tmp_path: Path) -> None:
    store = built(tmp_path, tables(), Plan({"sound": SOUND}, resolution=1.0))
    assert_same(rows_of(store), [(id, float(np.ceil(round(t, 9))), w) for id, t, w in expected()])
    given = tables(numbers={"id": IDS, "t": [9.0] * len(IDS), "y": STARTS})
    plan = Plan({"sound": SOUND, "numbers": Reading("numbers", "t", ("y",))}, anchor="numbers")
    store = built(tmp_path, given, plan)
    assert_same(rows_of(store), [(id, 9.0, w) for id, t, w in expected() if t <= 9])


def test_dates(tmp_path: Path) -> None:
    """A window of 4 samples at 30 Hz ends 133,333,333 ns after its recording began."""
    begin = datetime(2024, 5, 1, tzinfo=UTC)
    given = tables()
    given["sounds"]["t"] = [begin + timedelta(seconds=start) for start in STARTS]
    thirds = Recordings("x", "float32", (4, 1), 30.0, 30.0, 4, 4)
    store = built(tmp_path, given, Plan({"sound": Reading("sounds", "t", payload=thirds)}))
    assert store.origins is not None
    first = int(begin.timestamp()) * 10**9 - 10**9 + 133_333_333  # that of s2 began a second before
    assert store.origins[2] == first
    assert rows_of(store)[-1][1] > 0
    plan = Plan(
        {"sound": Reading("sounds", None, payload=thirds), "other": Reading("sounds", "t", codes=("id",))}
    )
    with pytest.raises(
        DataError, match="modality 'sound' needs `time`, the column of when each recording begins"
    ):
        built(tmp_path, given, plan)


def test_two_cuts_of_one_table(tmp_path: Path) -> None:
    short = Reading("sounds", "t", payload=Recordings("x", "float32", (2, 1), RATE, RATE, 2, 2))
    store = built(tmp_path, tables(), Plan({"sound": SOUND, "short": short}))
    assert_same(rows_of(store), expected())
    assert store.entry("short").n_rows == sum(n // 2 for n in LENGTHS)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("absent.wav", "row 5, column 'x': a recording is a file or an array; there is no file"),
        ("broken.wav", "row 5, column 'x': .*broken.wav is no sound that can be read"),
        ("sounds.csv", "row 5, column 'x': .*sounds.csv is no sound that can be read"),
        ("infinite.wav", "row 5, column 'x': a recording holds finite numbers; others came"),
        ("[1, 2", "row 5, column 'x': Expecting"),
    ],
)
def test_a_bad_file_is_told_with_its_row(tmp_path: Path, cell: str, told: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    soundfile.write(folder / "good.wav", np.zeros(40), 10, subtype="FLOAT")
    soundfile.write(folder / "infinite.wav", np.r_[np.zeros(30), np.nan, np.zeros(9)], 10, subtype="FLOAT")
    (folder / "broken.wav").write_bytes((folder / "good.wav").read_bytes()[:20])
    (folder / "sounds.csv").write_text(f'id,t,x\na,0,good.wav\nb,0,\nb,1,good.wav\na,9,"{cell}"\n')
    reading = Reading("sounds.csv", "t", payload=WINDOWS)
    source = TablesSource(root=folder, id="id", group=None, missing=[""])
    with pytest.raises(DataError, match=told) as caught:
        prepare(Plan({"sound": reading}), source, tmp_path / "stores")
    assert str(caught.value).startswith(f"{folder / 'sounds.csv'} ")
    assert not (tmp_path / "stores").exists() or not list((tmp_path / "stores").iterdir())


def test_a_table_whose_recordings_are_all_too_short(tmp_path: Path) -> None:
    given = {"sounds": {"id": ["a"], "t": [0.0], "x": [np.zeros(3)]}}
    with pytest.raises(DataError, match="'sound' needs at least one event; of 0 rows none is left"):
        built(tmp_path, given, Plan({"sound": SOUND}))
