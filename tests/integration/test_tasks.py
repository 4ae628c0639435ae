"""Every kind of task in one run: trained, scored beside its baseline, predicted from raw tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mmseq

TASKS: dict[str, dict[str, Any]] = {
    "grade": {"kind": "ordinal", "column": "grade", "order": ["low", "mid", "high"]},
    "spread": {"kind": "quantile", "column": "level", "quantiles": [0.1, 0.5, 0.9]},
    "shape": {"kind": "mixture", "columns": ["level", "cost"], "components": 3},
    "cost": {"kind": "regression", "column": "cost", "transform": "log1p", "loss": "gaussian"},
    "visits": {"kind": "count", "column": "visits", "distribution": "negative_binomial"},
    "rare": {"kind": "count", "columns": ["visits", "falls"]},
    "death": {"kind": "survival", "duration": "days", "event": "died", "bins": 6},
}
BETTER = {
    "grade": ("kappa", "nll", "crps"),
    "spread": ("pinball", "mae"),
    "shape": ("nll", "crps.level"),
    "cost": ("nll", "crps_log1p"),
    "visits": ("nll", "deviance"),
    "rare": ("nll", "crps.visits"),
    "death": ("c_index", "nll", "brier"),
}
MORE_IS_BETTER = ("kappa", "c_index")


def tables(n: int = 160) -> dict[str, dict[str, list[Any]]]:
    """A hidden level shows in noisy readings, and moves every label; a fifth of the labels is missing."""
    rng = np.random.default_rng(0)
    readings: dict[str, list[Any]] = {"id": [], "t": [], "x": []}
    labels: dict[str, list[Any]] = {"id": []}
    for i in range(n):
        level = rng.normal()
        for t in range(int(rng.integers(3, 9))):
            readings["id"].append(f"p{i}")
            readings["t"].append(t)
            readings["x"].append(level + rng.normal() / 3)
        time, last = rng.exponential(20 * math.exp(level)), rng.exponential(60)
        row = {
            "grade": ["low", "mid", "high"][int(np.searchsorted([-0.5, 0.6], level))],
            "level": level,
            "cost": 100 * math.exp(level + rng.normal() / 2),
            "visits": int(rng.poisson(math.exp(1 + level))),
            "falls": int(rng.poisson(0.3)),
        }
        row = {name: None if rng.random() < 0.2 else value for name, value in row.items()}
        row |= {"days": min(time, last), "died": int(time <= last)} if i % 5 else {"days": None, "died": None}
        labels["id"].append(f"p{i}")
        for name, value in row.items():
            labels.setdefault(name, []).append(value)
    return {"readings": readings, "labels": labels}


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return {name: pa.table(columns) for name, columns in tables().items()}


@pytest.fixture(scope="module")
def run(data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    folder: Path = tmp_path_factory.mktemp("tasks")
    experiment = {
        "name": "tasks",
        "data": {
            "source": {"kind": "memory", "id": "id"},
            "store": str(folder / "stores"),
            "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        },
        "timeline": {"unit": "days"},
        "modalities": {"x": {"kind": "numeric", "table": "readings", "time": "t", "columns": ["x"]}},
        "core": {"kind": "gru", "hidden": 16},
        "tasks": {name: {"table": "labels", **task} for name, task in TASKS.items()},
        "training": {
            "epochs": 30,
            "batch": {"samples": 16},
            "optimizer": {"lr": 1e-2},
            "threads": 1,
            "accelerator": "cpu",
        },
    }
    return mmseq.train(experiment, data=data, output=folder)


def test_every_task_beats_its_baseline(run: mmseq.Run, data: dict[str, Any]) -> None:
    report = mmseq.evaluate(run, "validation", data=data)
    for task, metrics in BETTER.items():
        for name in metrics:
            mine, baseline = report[task]["metrics"][name], report[task]["baseline"][name]
            if name in MORE_IS_BETTER:
                assert not mine <= baseline, (task, name, mine, baseline)  # a baseline's kappa has no value
            else:
                assert mine < baseline, (task, name, mine, baseline)


def test_predictions_are_in_the_units_of_the_labels(run: mmseq.Run, data: dict[str, Any]) -> None:
    model = run.model()
    told = model.predict({"readings": data["readings"]})
    names = set(told.column_names)
    assert {"grade", "grade.p_low", "spread.q_0.1", "shape.level", "shape.level.mean", "cost"} <= names
    assert {"cost.scale", "visits", "visits.dispersion", "rare.visits", "rare.falls"} <= names
    assert {"death", "death.median"} <= names and sum(name.startswith("death.s_") for name in names) == 6
    assert set(told["grade"].to_pylist()) <= {"low", "mid", "high"}
    columns = {name: np.array(told[name]) for name in names if name not in ("id", "grade")}
    assert (columns["spread.q_0.1"] < columns["spread.q_0.9"]).all()
    assert all(np.isfinite(values).all() for values in columns.values())
    assert np.corrcoef(np.log(columns["cost"]), columns["shape.level"])[0, 1] > 0.8
    assert np.corrcoef(columns["death"], columns["shape.level"])[0, 1] > 0.5
