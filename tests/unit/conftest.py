"""A small store with everything that can be missing, and what was fitted on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.store import Store

N_SAMPLES = 36


@pytest.fixture(scope="session")
def make_experiment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Experiment]:
    """Builds an experiment on the same tables, with some sections replaced."""
    root = tmp_path_factory.mktemp("tables")
    _write(root, np.random.default_rng(5))

    def make(**changes: Any) -> Experiment:
        return Experiment.model_validate(_tree(root) | changes)

    return make


@pytest.fixture(scope="session")
def experiment(make_experiment: Callable[..., Experiment]) -> Experiment:
    return make_experiment()


@pytest.fixture(scope="session")
def store(experiment: Experiment) -> Store:
    return prepare(experiment)


def _tree(root: Path) -> dict[str, Any]:
    return {
        "name": "small",
        "data": {
            "source": {"kind": "tables", "root": str(root), "id": "id", "group": "family"},
            "samples": "samples.csv",
            "store": str(root / "stores"),
        },
        "modalities": {
            "vitals": {"kind": "numeric", "table": "vitals.csv", "time": "t", "columns": ["a", "b"]},
            "codes": {"kind": "category", "table": "codes.csv", "time": "t", "columns": ["c", "d"]},
            "visits": {"kind": "category", "table": "visits.csv", "time": "t", "column": "v"},
            "age": {"kind": "numeric", "table": "samples.csv", "columns": ["age"]},
            "ward": {"kind": "category", "table": "samples.csv", "column": "ward"},
        },
        "fusion": {"kind": "sum", "width": 4},
        "core": {"kind": "gru", "hidden": 5},
        "tasks": {
            "sick": {"kind": "classification", "table": "labels.csv", "column": "sick"},
            "level": {"kind": "regression", "table": "labels.csv", "columns": ["x", "y"]},
            "stage": {"kind": "multilabel", "table": "stages.csv", "time": "t", "columns": ["s"]},
            "next_vitals": {"kind": "next_step", "modality": "vitals"},
            "next_codes": {"kind": "next_step", "modality": "codes", "at": "own", "time": True},
            "next_visit": {"kind": "next_step", "modality": "visits"},
        },
    }


def _write(root: Path, rng: np.random.Generator) -> None:
    tables: dict[str, list[str]] = {
        "samples": ["id,family,age,ward"],
        "vitals": ["id,t,a,b"],
        "codes": ["id,t,c,d"],
        "visits": ["id,t,v"],
        "labels": ["id,sick,x,y"],
        "stages": ["id,t,s"],
    }
    for i in range(N_SAMPLES):
        for table, rows in _sample(i, rng).items():
            tables[table] += [f"p{i},{row}" for row in rows]
    for table, rows in tables.items():
        (root / f"{table}.csv").write_text("\n".join(rows) + "\n")


def _sample(i: int, rng: np.random.Generator) -> dict[str, list[str]]:
    """Its rows; every ninth sample has nothing timed, and every fifth no labels."""

    def maybe(value: object) -> str:
        return "" if rng.random() < 0.3 else str(value)

    def times(most: int) -> np.ndarray:
        n = 0 if i % 9 == 4 else rng.integers(0, most)
        return np.sort(np.round(rng.exponential(1, n).cumsum(), 1 if i % 2 else 3))

    def distinct(most: int) -> np.ndarray:
        return np.unique(times(most))

    labelled = i % 5 != 2
    return {
        "samples": [f"f{i // 2},{maybe(30 + i)},{maybe('north' if i % 3 else 'south')}"],
        "vitals": [f"{t},{maybe(rng.normal(5, 2))},{maybe(rng.normal(-1, 9))}" for t in times(16)],
        "codes": [f"{t},{maybe('pqr'[rng.integers(3)])},{maybe('uv'[rng.integers(2)])}" for t in times(9)],
        "visits": [f"{t},{maybe('klm'[rng.integers(3)])}" for t in distinct(7)],
        "labels": [f"{maybe('abc'[i % 3])},{maybe(rng.normal())},{maybe(rng.normal(9))}"] * labelled,
        "stages": [f"{t},{maybe(rng.integers(2))}" for t in distinct(5)] if labelled else [],
    }
