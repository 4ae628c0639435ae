"""Tables of predictions: which rows, in which order, and how they are written."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import ConfigError
from mmseq.fit import fit
from mmseq.inference.predict import check_ending, predict, predict_stored, write_table
from mmseq.model import Model
from mmseq.store import Store


@pytest.fixture(scope="module")
def model(experiment: Experiment, store: Store) -> Model:
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double()


def test_rows_stand_in_the_order_asked_for(model: Model, store: Store) -> None:
    samples = np.random.default_rng(0).permutation(len(store))
    table = predict_stored(model, store, samples).table
    assert table["id"].to_pylist() == store.ids[samples].tolist()
    straight = {
        row["id"]: row for row in predict_stored(model, store, np.arange(len(store))).table.to_pylist()
    }
    for row in table.to_pylist():
        assert row.keys() == straight[row["id"]].keys()
        for name, value in row.items():
            other = straight[row["id"]][name]
            assert value == other or abs(value - other) < 1e-9, name


def test_one_row_is_as_of_the_last_step(model: Model, store: Store) -> None:
    table = predict_stored(model, store, np.arange(len(store))).table
    gathered = store.gather(np.arange(len(store)), [], [])
    assert table["time"].to_pylist() == gathered.time[gathered.starts[1:] - 1].tolist()


def test_every_step_has_a_row_in_time(model: Model, store: Store) -> None:
    samples = np.arange(len(store))[::-1].copy()
    table = predict_stored(model, store, samples, every_step=True).table
    gathered = store.gather(samples, [], [])
    assert table["id"].to_pylist() == np.repeat(store.ids[samples], np.diff(gathered.starts)).tolist()
    assert table["time"].to_pylist() == gathered.time.tolist()


@pytest.mark.parametrize("every_step", [False, True])
def test_windows_give_the_same_table(model: Model, store: Store, every_step: bool) -> None:
    whole = predict_stored(model, store, np.arange(len(store)), every_step=every_step).table
    training = model.experiment.training.model_copy(update={"window": 3})
    experiment = model.experiment.model_copy(update={"training": training})
    windowed = Model(experiment, model.facts).double()
    windowed.load_state_dict(model.state_dict())
    table = predict_stored(windowed, store, np.arange(len(store)), every_step=every_step).table
    assert table.column_names == whole.column_names and table.num_rows == whole.num_rows
    for name in table.column_names:
        for a, b in zip(table[name].to_pylist(), whole[name].to_pylist(), strict=True):
            assert a == b or abs(a - b) < 1e-9, name


def test_a_core_that_looks_ahead_has_no_row_for_each_step(model: Model, store: Store) -> None:
    model.core.causal = False
    try:
        with pytest.raises(ConfigError, match="only with a causal core"):
            predict_stored(model, store, np.arange(3), every_step=True)
    finally:
        del model.core.causal


def test_every_task_has_its_columns(model: Model, store: Store) -> None:
    table = predict_stored(model, store, np.arange(3)).table
    assert table.column_names[:2] == ["id", "time"]
    tasks = {name.partition(".")[0] for name in table.column_names[2:]}
    assert tasks == set(model.experiment.tasks)


@pytest.mark.parametrize("every_step", [False, True])
def test_no_samples_give_no_rows_of_every_column(model: Model, store: Store, every_step: bool) -> None:
    """Caught: a table of nothing had the column `id` alone."""
    table = predict_stored(model, store, np.arange(0), every_step=every_step).table
    assert table.num_rows == 0
    assert table.schema == predict_stored(model, store, np.arange(2), every_step=every_step).table.schema


TIMES = [
    "2024-02-28T23:59:59.5",
    "2024-03-01T00:00:00",
    "2024-03-01T00:00:00.000001",
    "1969-12-31T23:00:00-01:00",
]


@pytest.mark.parametrize("unit", ["seconds", "days"])
def test_times_of_dated_data_are_dates(unit: str, tmp_path: Path) -> None:
    """As the source has them, to the microsecond; a sample without any has none."""
    samples = {"id": ["a", "b", "c"], "y": [1.0, 2.0, 3.0]}
    events = {"id": ["a", "a", "a", "b"], "t": TIMES, "x": [1.0, 2.0, 3.0, 4.0]}
    tables = {"samples": samples, "v": events}
    tree = {
        "name": "dated",
        "data": {"source": {"kind": "memory"}, "store": str(tmp_path / "stores")},
        "timeline": {"unit": unit},
        "modalities": {"v": {"kind": "numeric", "table": "v", "time": "t", "columns": ["x"]}},
        "core": {"kind": "gru", "hidden": 2},
        "tasks": {"y": {"kind": "regression", "table": "samples", "column": "y"}},
    }
    experiment = Experiment.model_validate(tree)
    model = Model(experiment, fit(experiment, prepare(experiment, tables), np.arange(3)))
    table = predict(model, tables, every_step=True).table
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    words = [
        "2024-02-28T23:59:59.500000Z", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00.000001Z",
        "1970-01-01T00:00:00Z", None,
    ]  # fmt: skip
    expected = [None if word is None else datetime.fromisoformat(word) for word in words]
    assert (table["id"].to_pylist(), table["time"].to_pylist()) == (list("aaabc"), expected)
    for name in ("out.csv", "out.jsonl", "out.parquet"):
        write_table(table, tmp_path / name)
    assert [row["time"] for row in _read(tmp_path / "out.jsonl")] == words
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [line.split(",")[1].strip('"') for line in lines] == [word or "" for word in words]
    assert _read(tmp_path / "out.parquet")[1]["time"] == expected[1]
    last = predict(model, tables).table["time"].to_pylist()
    assert last == [expected[2], expected[3], None]


def test_codes_that_training_never_had_are_told(tmp_path: Path) -> None:
    """Caught: a long table's vanished unseen; those after `until`, which nobody reads, were counted."""
    long = {"id": ["a", "a", "b"], "t": [0.0, 1.0, 0.0], "what": ["hr", "bp", "hr"], "value": [1.0, 2.0, 3.0]}
    tables = {"samples": {"id": ["a", "b"], "y": [1.0, 2.0]}, "long": long}
    pivot = {"code": "what", "value": "value"}
    tree = {
        "name": "long",
        "data": {"source": {"kind": "memory"}, "store": str(tmp_path / "stores"), "until": 5},
        "modalities": {"v": {"kind": "numeric", "table": "long", "time": "t", "pivot": pivot}},
        "core": {"kind": "gru", "hidden": 2},
        "tasks": {"y": {"kind": "regression", "table": "samples", "column": "y"}},
    }
    experiment = Experiment.model_validate(tree)
    model = Model(experiment, fit(experiment, prepare(experiment, tables), np.arange(2)))
    assert not predict(model, tables).notes()
    more = [("a", 2.0, "O'2", 1.0), ("b", 2.0, "O'2", 2.0), ("b", 3.0, "hr", 2.0), ("b", 3.0, "ph", 2.0)]
    more += [("b", 4.0, "lac", None), ("b", 6.0, "lac", 1.0), ("c", 2.0, "lac", 1.0)]
    new = {name: [*own, *(row[c] for row in more)] for c, (name, own) in enumerate(long.items())}
    found = predict(model, {"long": new, "samples": tables["samples"]})
    assert found.unknown == {"v.O'2": 2, "v.ph": 1}
    assert "v.O'2: 2 values that training never had; they count as unknown" in found.notes()


TABLE = pa.table({"id": ["ä", 'b,"c'], "level": [1.5, -2.0], "sick": ["yes", "no"]})


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    table = pq.read_table(path) if path.suffix == ".parquet" else pyarrow.csv.read_csv(path)
    return table.to_pylist()


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_written_and_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    for table in (TABLE, TABLE.slice(1)):  # the second takes the place of the first
        write_table(table, path)
        assert _read(path) == table.to_pylist()
        assert [p.name for p in path.parent.iterdir()] == [name]


def test_json_has_null_for_what_is_not_finite(tmp_path: Path) -> None:
    write_table(pa.table({"x": [math.nan, math.inf, 0.5]}), tmp_path / "out.jsonl")
    assert [row["x"] for row in _read(tmp_path / "out.jsonl")] == [None, None, 0.5]


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_what_cannot_be_finished_leaves_what_was_there(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_text("as before")

    def fail(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ConfigError, match="cannot be written: No space left on device; name another file"):
        write_table(TABLE, path)
    assert path.read_text() == "as before"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"out.xlsx: predictions are written as .csv, .jsonl, .parquet"):
        check_ending(Path("out.xlsx"))
    with pytest.raises(ConfigError):
        write_table(TABLE, tmp_path / "new" / "out")
    assert not list(tmp_path.iterdir())
