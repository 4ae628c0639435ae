"""From a configuration, or a model, to a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest

from mmseq.config.experiment import Experiment
from mmseq.data import prepare, prepare_inputs
from mmseq.errors import ConfigError, DataError
from mmseq.fit import fit
from mmseq.model import Model

LABS = [
    ("a", 0, "hb", 1.0),
    ("a", 1, "na", 2.0),
    ("b", 0, "hb", 3.0),
    ("b", 2, "k", 4.0),
    ("c", 1, "na", 5.0),
]
ALL = {"train": 1, "validation": 0, "test": 0}
LABELS = [("a", 0.0), ("b", 1.0), ("c", 2.0)]


def _rows(rows: list[tuple[Any, ...]], *names: str) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _csv(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def _tree(source: dict[str, Any], folder: Path, ending: str = "") -> dict[str, Any]:
    labs = {
        "kind": "numeric",
        "table": f"labs{ending}",
        "time": "t",
        "pivot": {"code": "code", "value": "value"},
    }
    return {
        "name": "labs",
        "data": {"source": source, "store": str(folder / "stores"), "split": ALL},
        "modalities": {"labs": labs},
        "core": {"kind": "gru", "hidden": 3},
        "tasks": {"y": {"kind": "regression", "table": f"labels{ending}", "column": "y"}},
    }


def _trained(experiment: Experiment, data: Any = None) -> Model:
    store = prepare(experiment, data)
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).eval()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "tables"
    root.mkdir()
    _csv(root / "labs.csv", _rows(LABS, "id", "t", "code", "value"))
    _csv(root / "labels.csv", _rows(LABELS, "id", "y"))
    return root


@pytest.fixture
def on_files(root: Path, tmp_path: Path) -> Experiment:
    source = {"kind": "tables", "root": str(root), "id": "id"}
    return Experiment.model_validate(_tree(source, tmp_path, ".csv"))


@pytest.fixture
def in_memory(tmp_path: Path) -> Experiment:
    return Experiment.model_validate(_tree({"kind": "memory", "id": "id"}, tmp_path))


TABLES = {"labs": _rows(LABS, "id", "t", "code", "value"), "labels": _rows(LABELS, "id", "y")}


def test_the_same_from_files_and_from_memory(on_files: Experiment, in_memory: Experiment) -> None:
    for store in (prepare(on_files), prepare(in_memory, TABLES)):
        assert store.columns("labs") == ("hb", "k", "na")
        assert store.ids.tolist() == ["a", "b", "c"]
        assert store.lengths.tolist() == [2, 2, 1]


def test_a_pivoted_modality_keeps_the_columns_of_training(on_files: Experiment, tmp_path: Path) -> None:
    """Later tables have other codes, and not all of the old ones."""
    model = _trained(on_files)
    later = tmp_path / "later"
    later.mkdir()
    rows = [("z", 0, "na", 9.0), ("z", 0, "new", 8.0), ("z", 5, "na", 7.0)]
    _csv(later / "labs.csv", _rows(rows, "id", "t", "code", "value"))
    store = prepare_inputs(model, later, tmp_path / "stores")
    assert store.columns("labs") == ("hb", "k", "na")
    (values,) = (chunk["values"] for chunk in store.chunks("labs", np.arange(1)))
    assert np.array_equal(values, [[np.nan, np.nan, 9], [np.nan, np.nan, 7]], equal_nan=True)
    assert store.tasks == []
    assert store.entry("labs").unread == {"new": 1}
    with pytest.warns(UserWarning, match="labs.new: 1 values that training never had; they count as unknown"):
        assert model.predict(later)["y"].to_pylist() != [None]


def test_a_pivoted_modality_without_any_known_code_is_empty(in_memory: Experiment, tmp_path: Path) -> None:
    model = _trained(in_memory, TABLES)
    tables = {"labs": _rows([("z", 0, "new", 8.0)], "id", "t", "code", "value")}
    store = prepare_inputs(model, tables, tmp_path / "inputs")
    assert store.columns("labs") == ("hb", "k", "na")
    with pytest.warns(UserWarning, match="labs.new: 1 values that training never had"):
        assert model.predict(tables).num_rows == 1


def test_files_are_predicted_from_memory(on_files: Experiment) -> None:
    model = _trained(on_files)
    from_files = model.predict(on_files.data.source.root)  # type: ignore[attr-defined]
    assert model.predict({"labs.csv": TABLES["labs"]}).equals(from_files)


RECORDS = [
    {"id": id, "part": "train", "last": 1, "labs": rows, "labels": [{"y": y}]}
    for (id, y), rows in zip(
        LABELS, [[{"t": t, "code": "hb", "value": 1.0} for t in range(3)]] * 3, strict=True
    )
]


@pytest.mark.parametrize("kind", ["records", "memory"])
def test_columns_of_a_table_of_samples_that_is_taken_by_itself(kind: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, RECORDS)))
    tree = _tree(
        {"kind": kind} | ({"path": str(tmp_path / "r.jsonl")} if kind == "records" else {}), tmp_path
    )
    tree["data"] |= {"split": {"column": "part"}, "until": "last"}
    store = prepare(Experiment.model_validate(tree), RECORDS if kind == "memory" else None)
    assert store.splits is not None and store.splits.tolist() == ["train"] * 3
    assert store.n_events("labs").tolist() == [2, 2, 2]


def test_until_may_be_a_date(root: Path, on_files: Experiment) -> None:
    dated = [(id, f"2013-06-0{1 + t}", *rest) for id, t, *rest in LABS]
    _csv(root / "labs.csv", _rows(dated, "id", "t", "code", "value"))
    tree = on_files.model_dump(mode="json")
    tree["data"]["until"] = "2013-06-02"
    assert prepare(Experiment.model_validate(tree)).n_events("labs").tolist() == [2, 1, 1]


@pytest.mark.parametrize("change", [{"until": "last"}, {"split": {"column": "last"}}])
def test_a_column_of_no_table_of_samples(change: dict[str, Any], on_files: Experiment) -> None:
    tree = on_files.model_dump(mode="json")
    tree["data"] |= change
    with pytest.raises(ConfigError, match="'last' is a column of the table of samples, and there is none"):
        prepare(Experiment.model_validate(tree))


def test_needs_tables_where_the_source_is_memory(in_memory: Experiment) -> None:
    with pytest.raises(ConfigError, match="where the source is of kind 'memory'; none came"):
        prepare(in_memory)


def test_takes_no_tables_where_the_source_is_files(on_files: Experiment) -> None:
    with pytest.raises(ConfigError, match="where the source is of kind 'memory'; the source is 'tables'"):
        prepare(on_files, TABLES)


def test_a_model_of_tables_in_memory_has_no_folder(in_memory: Experiment, root: Path, tmp_path: Path) -> None:
    model = _trained(in_memory, TABLES)
    with pytest.raises(ConfigError, match=r"the model was trained on tables in memory; predict from Python"):
        prepare_inputs(model, root, tmp_path / "inputs")
    assert not (tmp_path / "inputs").exists()


def test_missing_inputs_are_named(on_files: Experiment, tmp_path: Path) -> None:
    model = _trained(on_files)
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        prepare_inputs(model, tmp_path / "nowhere", tmp_path / "inputs")
    assert not (tmp_path / "inputs").exists()


def test_times_are_of_the_kind_that_training_had(in_memory: Experiment, tmp_path: Path) -> None:
    """Caught: dates were read as the time since each sample's first, in place of absolute numbers."""
    dated = [{**row, "t": f"2024-01-0{1 + row['t']}"} for row in TABLES["labs"]]
    by_number = _trained(in_memory, TABLES)
    came = "table labs, column 't': times must be numbers, as in training; dates and times came; convert them"
    with pytest.raises(DataError, match=came):
        prepare_inputs(by_number, {"labs": dated}, tmp_path / "dated")
    by_date = _trained(in_memory, {**TABLES, "labs": dated})
    with pytest.raises(DataError, match="times must be dates and times, as in training; numbers came"):
        by_date.predict(TABLES)
    rows = by_date.predict({"labs": pyarrow.table({name: [] for name in ("id", "t", "code", "value")})})
    assert (rows.num_rows, str(rows.schema.field("time").type)) == (0, "timestamp[us, tz=UTC]")


def test_groups_labels_and_splits_are_not_needed(experiment: Experiment, tmp_path: Path) -> None:
    model = _trained(experiment)
    root = Path(experiment.data.source.root)  # type: ignore[attr-defined]
    for name in ("vitals", "codes", "visits", "samples"):
        text = (root / f"{name}.csv").read_text()
        (tmp_path / f"{name}.csv").write_text(text.replace("id,family,age", "id,other,age"))
    store = prepare_inputs(model, tmp_path, tmp_path / "stores")
    assert (len(store), store.tasks, store.groups, store.splits) == (36, [], None, None)
