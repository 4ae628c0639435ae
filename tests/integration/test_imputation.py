"""Gaps in correlated numbers, filled better than by the last value, beside a task that sees everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import mmseq

GRU: dict[str, Any] = {"kind": "gru", "hidden": 16}
BOTH_WAYS: dict[str, Any] = {"kind": "bidirectional", "core": {"kind": "gru", "hidden": 12}}


def tables(n: int = 100) -> dict[str, Any]:
    """b is −a but for noise, and a a wave: a gap in one is told by the other, and by its neighbours."""
    random = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {"id": [], "t": [], "a": [], "b": []}
    labels: dict[str, list[Any]] = {"id": [], "fast": []}
    for i in range(n):
        phase, speed = random.uniform(0, 6), random.choice([0.5, 1.5])
        labels["id"].append(f"p{i}")
        labels["fast"].append("yes" if speed > 1 else "no")
        for t in range(20):
            x = np.sin(phase + speed * t)
            cells = 50 + 10 * x + random.normal(), 3 - x + random.normal() / 10
            rows["id"].append(f"p{i}")
            rows["t"].append(float(t))
            for name, value in zip("ab", cells, strict=True):
                rows[name].append(None if random.random() < 0.3 else value)
    return {"v": pa.table(rows), "y": pa.table(labels)}


@pytest.mark.slow
@pytest.mark.parametrize("core", [GRU, BOTH_WAYS], ids=["causal", "both ways"])
def test_beats_the_last_value_and_the_mean(tmp_path: Path, core: dict[str, Any]) -> None:
    data = tables()
    experiment = {
        "name": "gaps",
        "data": {"source": {"kind": "memory", "id": "id"}, "store": str(tmp_path / "stores")},
        "modalities": {"v": {"kind": "numeric", "table": "v", "time": "t", "columns": ["a", "b"]}},
        "core": core,
        "tasks": {
            "fill": {"kind": "imputation", "modality": "v", "hide": 0.2},
            "fast": {"kind": "classification", "table": "y", "column": "fast"},
        },
        "training": {
            "epochs": 20, "batch": {"samples": 16}, "accumulation": 2, "optimizer": {"lr": 1e-2},
            "threads": 1, "accelerator": "cpu", "monitor": "fill/nmae",
        },
    }  # fmt: skip
    run = mmseq.train(experiment, data=data, output=tmp_path)
    report = mmseq.evaluate(run, "test", data=data)
    filled = report["fill"]
    for metric in ("nmae", "nrmse", "mae.a", "mae.b"):
        least = min(filled["baseline"][metric], filled["mean"][metric])
        assert filled["metrics"][metric] < 0.75 * least, (metric, filled)
    assert report["fast"]["metrics"]["accuracy"] > report["fast"]["baseline"]["accuracy"]
    table = mmseq.impute(run, data).table
    assert table["a"].null_count == table["b"].null_count == 0
