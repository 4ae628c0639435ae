"""Vectors: read from lists, arrays, JSON and bytes; normalised; the same from a store and live."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmseq
from mmseq.errors import DataError
from mmseq.modalities import Stored, modalities
from mmseq.modalities.vector import VectorModality, VectorPayload

PAYLOAD = VectorPayload("x", "float32", (2, 2))
ARRAY = np.array([[1.0, 2.0], [3.0, 4.5]], np.float32)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("cell", [ARRAY, ARRAY.tolist(), json.dumps(ARRAY.tolist()), npy(ARRAY)])
def test_cells(cell: Any) -> None:
    np.testing.assert_array_equal(PAYLOAD.value(cell, Path()), ARRAY)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (3.0, "a vector is a list of numbers; '3.0' came"),
        ([1.0, 2.0], r"has the shape \[2, 2\]; \[2\] came"),
        ([[1.0, 2.0], [3.0]], "inhomogeneous"),
        ([[1.0, None], [3.0, 4.0]], "finite numbers"),
        ([[1.0, np.inf], [3.0, 4.0]], "finite numbers"),
        (b"bytes", "."),
        (npy(np.array([[None]], object)), "pickle"),
    ],
)
def test_bad_cells(cell: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PAYLOAD.value(cell, Path())


def modality(vectors: np.ndarray, **options: Any) -> VectorModality:
    shape = list(vectors.shape[1:])
    config = modalities.parse({"kind": "vector", "table": "t", "column": "x", "shape": shape, **options})
    chunks = [{"payload": part} for part in np.array_split(vectors, 3)]
    stored = Stored(("x",), (), lambda: iter(chunks), len(vectors), False, 1.0)
    return modalities.build(config, VectorModality.fit(config, stored))


def test_normalised() -> None:
    """Each element by its own mean and spread; one that never varies is left at 0."""
    vectors = np.random.default_rng(0).normal([[5.0, -2.0]], [[3.0, 0.0]], (500, 1, 2)).astype(np.float32)
    built = modality(vectors)
    values = built.ready(built.make(torch.arange(500), vectors)).values.numpy()
    assert values.shape == (500, 1, 2)
    np.testing.assert_allclose(values[..., 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(values[..., 0].std(), 1, atol=1e-6)
    np.testing.assert_allclose(values[..., 1], 0, atol=1e-6)


def test_parse_drops_what_is_missing() -> None:
    built = modality(np.zeros((4, 2, 2), np.float32))
    events = built.parse(torch.tensor([0, 1, 1]), [None, ARRAY.tolist(), {"x": ARRAY}])
    assert events.step.tolist() == [1, 1] and events.values.shape == (2, 2, 2)
    with pytest.raises(DataError, match="has the shape"):
        built.parse(torch.tensor([0]), [[1.0]])
    with pytest.raises(DataError, match="'y': must be one of the modality's columns"):
        built.parse(torch.tensor([0]), [{"y": ARRAY}])


def test_several() -> None:
    """One vector in a push, or a list of them."""
    built = modality(np.zeros((4, 3), np.float32))
    assert built.several([1.0, 2.0, 3.0]) == [[1.0, 2.0, 3.0]]
    assert built.several([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]) == [[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]]
    array = np.zeros(3)
    assert built.several(array)[0] is array and len(built.several([array, array])) == 2


def samples(n: int = 80) -> list[dict[str, Any]]:
    """The label is the sign of a direction's mean over a sample's vectors."""
    rng, records = np.random.default_rng(1), []
    direction = rng.normal(size=6)
    for i in range(n):
        vectors = rng.normal(size=(int(rng.integers(2, 6)), 6))
        rows = [{"time": float(t), "x": v.tolist()} for t, v in enumerate(vectors)]
        label = "yes" if float((vectors @ direction).mean()) > 0 else "no"
        records.append({"id": str(i), "y": label, "vectors": rows})
    return records


CONFIG = {
    "name": "vectors",
    "data": {"source": {"kind": "memory"}, "split": {"train": 0.6, "validation": 0.2, "test": 0.2}},
    "modalities": {"v": {"kind": "vector", "table": "vectors", "time": "time", "column": "x", "shape": [6]}},
    "core": {"kind": "gru", "hidden": 8},
    "tasks": {"y": {"kind": "classification", "table": "samples", "column": "y"}},
    "training": {"epochs": 2, "batch": {"samples": 8}, "threads": 1, "precision": "64-true"},
}


def test_train_predict_and_stream(tmp_path: Path) -> None:
    """From raw records to predictions, and the same numbers live."""
    config = mmseq.load_config({**CONFIG, "data": {**CONFIG["data"], "store": str(tmp_path / "stores")}})
    records = samples()
    run = mmseq.train(config, data=records, output=tmp_path)
    model = run.model()
    table = model.predict(records[:5]).to_pylist()
    stream = mmseq.Stream(model)
    for record, row in zip(records[:5], table, strict=True):
        for event in record["vectors"]:
            answer = stream.push(record["id"], event["time"], {"v": event["x"]})
        assert answer is not None and answer["y"] == row["y"]
        probabilities = [name for name in row if "yes" in name]
        assert probabilities and all(
            answer[name] == pytest.approx(row[name], abs=1e-12) for name in probabilities
        )
