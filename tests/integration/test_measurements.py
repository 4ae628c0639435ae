"""A laboratory with thousands of codes: what the values of some tell is learned, live and whole alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmseq
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import ConfigError, DataError
from mmseq.inference.predict import predict
from mmseq.store.profile import profile
from mmseq.testing.model import check_model

N, N_CODES = 180, 3_000
Tables = dict[str, dict[str, list[Any]]]


def write(n: int, seed: int = 0) -> Tables:
    """Each sample's state raises one code and lowers another, each in its own unit; the rest is noise."""
    random = np.random.default_rng(seed)
    scale = random.lognormal(0, 4, N_CODES)
    labs: dict[str, list[Any]] = {name: [] for name in ("id", "t", "code", "value", "text")}
    labels: dict[str, list[Any]] = {"id": [], "sick": []}
    for i in range(n):
        state = random.normal()
        labels["id"].append(f"p{i}")
        labels["sick"].append("yes" if state > 0 else "no")
        for t in range(6):
            for sign, code in ((1, 0), (-1, 1)):
                value = scale[code] * (5 + sign * state + random.normal() / 4)
                add(labs, f"p{i}", t, code, value, None)
            for code in random.integers(2, N_CODES, 3).tolist():
                value = None if code % 3 == 0 else scale[code] * random.normal(9)
                add(labs, f"p{i}", t, code, value, "positive" if value is None else None)
    return {"labs": labs, "labels": labels}


def add(table: dict[str, list[Any]], id: str, t: int, code: int, value: float | None, text: Any) -> None:
    row = {"id": id, "t": t, "code": f"L{code}", "value": value, "text": text}
    for name, cell in row.items():
        table[name].append(cell)


def experiment(folder: Path, **changes: Any) -> Experiment:
    tree = {
        "name": "labs",
        "data": {
            "source": {"kind": "memory"},
            "split": {"train": 0.7, "validation": 0.3, "test": 0.0},
            "store": str(folder),
        },
        "modalities": {
            "lab": {
                "kind": "measurement", "table": "labs", "time": "t", "code": "code", "value": "value",
                "text": "text", "min_count": 5,
            }
        },
        "fusion": {"kind": "attention", "width": 16},
        "core": {"kind": "gru", "hidden": 16},
        "tasks": {
            "sick": {"kind": "classification", "table": "labels", "column": "sick"},
            "next": {"kind": "next_step", "modality": "lab", "weight": 0.05, "time": True},
        },
        "training": {
            "epochs": 4, "batch": {"samples": 16}, "optimizer": {"lr": 1e-2}, "accelerator": "cpu",
            "threads": 1,
        },
    }  # fmt: skip
    return Experiment.model_validate(tree | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    folder = tmp_path_factory.mktemp("labs")
    with pytest.warns(UserWarning, match=r"lab\.code: \d+ values that training never had"):
        return mmseq.train(experiment(folder / "stores"), data=write(N), output=folder)


def test_values_on_scales_of_any_size_are_learned(run: mmseq.Run) -> None:
    report = run.read_report("validation")
    assert report["sick"]["metrics"]["auroc"] > 0.9
    assert report["next"]["metrics"]["loss"] < report["next"]["baseline"]["loss"] * 1.05


def test_what_is_fitted(run: mmseq.Run) -> None:
    spec = run.model().facts.modalities["lab"]
    assert spec.codes[:2] == ["L0", "L1"] and spec.shared_steps and spec.texts == ["positive"]
    assert 1 < len(spec.codes) < len(spec.rare) < N_CODES


def test_live_is_as_whole(run: mmseq.Run) -> None:
    model, tables = run.model().double(), write(3, seed=1)
    labs = tables["labs"]
    labs["code"][3], labs["value"][5] = "never seen", None
    rows = {(r["id"], r["time"]): r for r in predict(model, tables, every_step=True).table.to_pylist()}
    stream = mmseq.Stream(model)
    events: dict[tuple[str, int], list[Any]] = {}
    for id, t, *event in zip(*(labs[name] for name in ("id", "t", "code", "value", "text")), strict=True):
        events.setdefault((id, t), []).append(tuple(event))
    for (id, t), values in events.items():
        row = stream.push(id, t, {"lab": values})
        for name, value in rows[id, t].items():
            assert row[name] == (pytest.approx(value, abs=1e-9) if isinstance(value, float) else value)
    assert stream.unknown["lab.code"] >= 1


def test_predictions_tell_of_codes_that_training_never_had(run: mmseq.Run) -> None:
    tables = write(2, seed=2)
    known = set(run.model().facts.modalities["lab"].codes + run.model().facts.modalities["lab"].rare)
    new = sum(code not in known for code in tables["labs"]["code"])
    assert predict(run, tables).unknown["lab.code"] == new > 0


def test_measurements_cannot_be_generated(run: mmseq.Run) -> None:
    rule = "all of an event must be predicted; of the next 'lab', a measurement, 'next' predicts a part alone"
    with pytest.raises(ConfigError, match=rule):
        run.model().generate(steps=1)


def test_missing_cells_are_told_by_column(run: mmseq.Run, tmp_path: Path) -> None:
    store = prepare(experiment(tmp_path), write(4))
    told = profile(store, {"train": np.arange(4)})["modalities"]["lab"]
    assert told["missing"].keys() == {"value", "code", "text"}
    assert told["missing"]["code"] == 0 < told["missing"]["value"] < 0.5 < told["missing"]["text"]


def test_the_model_is_the_same_however_it_is_cut(run: mmseq.Run, tmp_path: Path) -> None:
    store, model = prepare(experiment(tmp_path), write(9)), run.model()
    torch.manual_seed(0)
    check_model(model, Assembler(store, model, tasks=list(model.heads)).batch(np.arange(9)))


def test_a_word_in_place_of_a_number_is_told_with_its_row(tmp_path: Path) -> None:
    tables = write(4)
    tables["labs"]["value"][7] = ">90"
    with pytest.raises(DataError, match=r"value.*a number must be finite, or missing.*>90"):
        prepare(experiment(tmp_path), tables)


def test_each_code_has_the_precision_that_it_needs(tmp_path: Path) -> None:
    """Numbers that differ in their last digits only, beside others of a wide range."""
    tables = write(20)
    assert prepare(experiment(tmp_path / "a"), tables).entry("lab").dtype == "float32"
    for i in range(100):
        add(tables["labs"], "p1", 7 + i, 99_999, 1.7e9 + i, None)
    assert prepare(experiment(tmp_path / "b"), tables).entry("lab").dtype == "float64"
