"""Payloads: from cells to shard files and back, with the place of a bad one told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from mmseq.errors import CheckpointError, DataError
from mmseq.modalities.vector import VectorPayload
from mmseq.ragged import Ragged
from mmseq.sources import Payload, Reading
from mmseq.sources.memory import MemorySource
from mmseq.sources.tables import TablesSource
from mmseq.store import Plan, Store, prepare
from mmseq.store import payload as payload_module
from mmseq.store.layout import row_file, shard_folder


@dataclass(frozen=True)
class Letters(Payload):
    """Text, or the text in a file."""

    dtype: str = "uint8"
    shape: tuple[int, ...] | None = None
    files: ClassVar[bool] = True

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        if cell == "bad":
            raise ValueError("a text is not 'bad'; it is")
        if cell.endswith(".txt"):
            cell = (folder / cell).read_text()
        return np.frombuffer(cell.encode(), np.uint8)


VECTORS = Plan({"v": Reading("events", "t", payload=VectorPayload("x", "float32", (2, 3)))})
TEXTS = Plan({"v": Reading("events", "t", payload=Letters("x"))})


def tables(cells: list[Any]) -> dict[str, Any]:
    """Rows out of order, so that the store has to sort them."""
    n = len(cells)
    times = np.random.default_rng(5).permutation(n)
    return {"events": {"id": [f"s{i % 7}" for i in range(n)], "t": times.astype(float), "x": cells}}


def built(folder: Path, given: dict[str, Any], plan: Plan, shard_events: int = 12) -> Store:
    return prepare(plan, MemorySource(given, id="id", group=None), folder, shard_events=shard_events)


def in_order(given: dict[str, Any]) -> list[Any]:
    """The cells that are there, by sample and time."""
    rows = given["events"]
    order = sorted(range(len(rows["t"])), key=lambda i: (rows["id"][i], rows["t"][i]))
    return [rows["x"][i] for i in order if rows["x"][i] is not None]


def vectors(n: int = 40) -> list[Any]:
    cells: list[Any] = list(np.random.default_rng(1).normal(size=(n, 2, 3)).astype(np.float32))
    cells[3] = cells[20] = None
    return cells


def texts(n: int = 40) -> list[Any]:
    cells: list[Any] = [f"text {i} ü" * (i % 3) + "." for i in range(n)]
    cells[3] = cells[20] = None
    return cells


FORMS: dict[str, Callable[[list[Any]], Any]] = {
    "arrays": lambda cells: cells,
    "nested lists": lambda cells: [None if c is None else c.tolist() for c in cells],
    "JSON": lambda cells: [None if c is None else json.dumps(c.tolist()) for c in cells],
}


@pytest.mark.parametrize("form", FORMS)
def test_vectors_there_and_back(tmp_path: Path, form: str) -> None:
    given = tables(vectors())
    stored = built(tmp_path, {"events": {**given["events"], "x": FORMS[form](vectors())}}, VECTORS)
    assert len(stored.manifest.shards) > 2
    payload = stored.gather(np.arange(len(stored))).events["v"].arrays["payload"]
    np.testing.assert_array_equal(payload, np.stack(in_order(given)))
    entry = stored.entry("v")
    assert entry.report["rows"] == entry.n_rows == 38 and entry.payload is not None


def test_texts_there_and_back(tmp_path: Path) -> None:
    given = tables(texts())
    stored = built(tmp_path, given, TEXTS)
    payload = stored.gather(np.arange(len(stored))).events["v"].arrays["payload"]
    assert isinstance(payload, Ragged)
    assert [bytes(row).decode() for row in payload] == in_order(given)
    assert stored.columns("v") == ("x",)


@pytest.mark.parametrize("samples", [[5, 0, 3, 3], [6], []])
@pytest.mark.parametrize("plan", [VECTORS, TEXTS], ids=["vectors", "texts"])
def test_samples_in_any_order(tmp_path: Path, plan: Plan, samples: list[int]) -> None:
    """Some samples, out of several shards: what each has alone."""
    stored = built(tmp_path, tables(vectors() if plan is VECTORS else texts()), plan)
    rows = stored.gather(np.array(samples, np.int64)).events["v"]
    alone = [stored.gather(np.array([i])).events["v"].arrays["payload"] for i in samples]
    expected = [bytes(row) for part in alone for row in part]
    assert [bytes(row) for row in rows.arrays["payload"]] == expected
    assert len(rows.step) == len(expected)


@pytest.mark.parametrize("plan", [VECTORS, TEXTS], ids=["vectors", "texts"])
def test_chunks(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are of limited size, even within a sample, and together all there is."""
    stored = built(tmp_path, tables(vectors() if plan is VECTORS else texts()), plan)
    whole = [bytes(row) for row in stored.gather(np.arange(7)).events["v"].arrays["payload"]]
    monkeypatch.setattr("mmseq.store.read.rows_at_a_time", lambda dtype, shape: 4)
    chunks = [chunk["payload"] for chunk in stored.chunks("v", np.arange(7))]
    assert max(len(chunk) for chunk in chunks) <= 8 and len(chunks) > 7
    assert [bytes(row) for chunk in chunks for row in chunk] == whole


def test_windows(tmp_path: Path) -> None:
    stored = built(tmp_path, tables(texts()), TEXTS)
    whole = stored.gather(np.arange(7)).events["v"]
    parts = [stored.gather(np.arange(7), window=(a, a + 2)).events["v"] for a in (0, 2, 4)]
    found = sorted(bytes(row) for part in parts for row in part.arrays["payload"])
    assert found == sorted(bytes(row) for row in whole.arrays["payload"])


def test_rows_at_a_time() -> None:
    assert payload_module.rows_at_a_time("uint8", (64, 64, 3)) * 64 * 64 * 3 <= 1 << 26
    assert payload_module.rows_at_a_time("float32", (1 << 13,) * 4) == 1
    assert 1 < payload_module.rows_at_a_time("uint8", None) < payload_module.ROWS


BAD = [
    ("list of 5", [1.0, 2.0], "a vector has the shape [2, 3]; [2] came"),
    ("not finite", [[1.0, 2.0, np.nan], [0.0, 0.0, 0.0]], "a vector holds finite numbers; others came"),
    ("text", "[[1, 2", "Expecting"),
    ("words", '[["a", "b", "c"], ["d", "e", "f"]]', "a vector holds finite numbers; others came"),
]


@pytest.mark.parametrize(("what", "cell", "told"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_cell_is_told_with_its_row(tmp_path: Path, what: str, cell: Any, told: str) -> None:
    good: Any = [[0.0] * 3] * 2
    cells = [json.dumps(good) if isinstance(cell, str) else good] * 20
    cells[11] = cell
    with pytest.raises(DataError) as caught:
        built(tmp_path, tables(cells), VECTORS)
    assert str(caught.value).startswith("table 'events' row 12, column 'x': ")
    assert told in str(caught.value) and "correct it or drop the row" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_float16_overflow(tmp_path: Path) -> None:
    plan = Plan({"v": Reading("events", "t", payload=VectorPayload("x", "float16", (1,)))})
    with pytest.raises(DataError, match=r"row 2, column 'x': 70000.0 is beyond float16"):
        built(tmp_path, tables([[1.0], [7e4]]), plan)


def test_mixed_arrays_in_memory(tmp_path: Path) -> None:
    cells = [*vectors()[4:9], "not an array"]
    with pytest.raises(DataError, match="table 'events' row 6, column 'x': must be an array of numbers"):
        built(tmp_path, tables(cells), VECTORS)


def test_parquet_lists(tmp_path: Path) -> None:
    given = tables([None if c is None else c.tolist() for c in vectors()])
    folder = tmp_path / "tables"
    folder.mkdir()
    pyarrow.parquet.write_table(pyarrow.table(given["events"]), folder / "events.parquet")
    plan = Plan({"v": Reading("events.parquet", "t", payload=VectorPayload("x", "float16", (2, 3)))})
    source = TablesSource(root=folder, id="id", group=None, missing=[""])
    stored = prepare(plan, source, tmp_path / "stores")
    payload = stored.gather(np.arange(7)).events["v"].arrays["payload"]
    np.testing.assert_array_equal(payload, np.array(in_order(given)).astype(np.float16))


def test_files_that_cells_name(tmp_path: Path) -> None:
    """A store that was made of other files is not found again. caught: a fingerprint of the table alone."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "events.csv").write_text("id,t,x\na,0,one.txt\na,1,plain\nb,0,NA\n")
    (folder / "one.txt").write_text("first")
    plan = Plan({"v": Reading("events.csv", "t", payload=Letters("x"))})
    source = TablesSource(root=folder, id="id", group=None, missing=["NA"])

    def read() -> list[str]:
        stored = prepare(plan, source, tmp_path / "stores")
        return [bytes(row).decode() for row in stored.gather(np.arange(1)).events["v"].arrays["payload"]]

    assert read() == ["first", "plain"] == read()
    (folder / "one.txt").write_text("another")
    assert read() == ["another", "plain"]
    (folder / "one.txt").unlink()
    with pytest.raises(DataError, match=r"events\.csv row 2, column 'x': .*one\.txt"):
        read()


def test_ends_that_fall_are_refused(tmp_path: Path) -> None:
    stored = built(tmp_path, tables(texts()), TEXTS)
    file = shard_folder(stored.path, 0) / row_file("v", "ends")
    ends = np.load(file)
    ends[0], ends[1] = ends[1] + 1, ends[0]
    np.save(file, ends)
    from mmseq.store.manifest import file_entry, write_manifest

    files = stored.manifest.shards[0].files | {file.name: file_entry(file)}
    shards = [stored.manifest.shards[0].model_copy(update={"files": files}), *stored.manifest.shards[1:]]
    write_manifest(stored.path, stored.manifest.model_copy(update={"shards": shards}))
    with pytest.raises(CheckpointError, match=r"rows\.v\.ends\.npy: must rise to the"):
        Store.open(stored.path).shard(0)
