"""Vectors, and arrays of any fixed shape."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from mmseq.batch import VectorEvents
from mmseq.modalities import ModalityConfig, Spec, Stored, check_some_events, modalities
from mmseq.modalities.payload import PayloadModality
from mmseq.sources import Payload, Reading

Dtype = Literal["float16", "float32"]


class VectorConfig(ModalityConfig):
    kind: Literal["vector"]
    column: str = Field(description="column of vectors: lists, JSON lists, or the bytes of .npy files")
    shape: list[PositiveInt] = Field(min_length=1, max_length=4, description="of each, such as [768]")
    dtype: Dtype = Field("float32", description="what the store keeps them in")


@dataclass(frozen=True)
class VectorPayload(Payload):
    """Finite numbers of one shape."""

    shape: tuple[int, ...]

    def value(self, cell: Any, folder: Path) -> np.ndarray:
        return self._checked(_array(cell))

    def read(self, cells: pyarrow.Array, folder: Path) -> np.ndarray:
        numbers = _numbers(cells, self.shape)
        if numbers is not None:
            with np.errstate(over="ignore"):
                vectors = numbers.astype(self.dtype)
            if np.isfinite(vectors).all():
                return vectors
        return np.asarray(super().read(cells, folder))  # one by one, which tells the first that is wrong

    def _checked(self, array: np.ndarray) -> np.ndarray:
        if array.shape != self.shape:
            raise ValueError(f"a vector has the shape {list(self.shape)}; {list(array.shape)} came")
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError("a vector holds finite numbers; others came")
        with np.errstate(over="ignore"):
            stored = array.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise ValueError(f"{float(np.abs(array).max())} is beyond {self.dtype}; set a wider `dtype`")
        return stored


class VectorSpec(Spec):
    """Facts of each element, over the training split.

    Attributes:
        columns: the name of the column.
        shape, dtype: of a vector.
        mean, std: of its elements, in row-major order; the spread is 1 where an element never varies.
    """

    columns: list[str]
    shape: list[int]
    dtype: Dtype
    mean: list[float]
    std: list[float]


@modalities.register(VectorConfig)
class VectorModality(PayloadModality):
    """Brings each element to mean 0 and spread 1 over the training split."""

    Spec = VectorSpec
    gives = VectorEvents
    default_encoder = "project"

    def __init__(self, spec: VectorSpec) -> None:
        super().__init__(spec)
        shape = tuple(spec.shape)
        self.payload = VectorPayload(spec.columns[0], spec.dtype, shape)
        for name, values in (("mean", spec.mean), ("std", spec.std)):
            self.register_buffer(name, torch.tensor(values).reshape(shape), persistent=False)

    mean: Tensor
    std: Tensor

    @classmethod
    def reading(cls, config: VectorConfig) -> Reading:
        payload = VectorPayload(config.column, config.dtype, tuple(config.shape))
        return Reading(config.table, config.time, payload=payload)

    @classmethod
    def fit(cls, config: VectorConfig, stored: Stored) -> VectorSpec:
        """Mean and spread of each element. Raises DataError where the training split has no event."""
        check_some_events(config.table, stored)
        mean = sum(_flat(chunk["payload"]).sum(0) for chunk in stored.chunks()) / stored.n_events
        square = sum(((_flat(chunk["payload"]) - mean) ** 2).sum(0) for chunk in stored.chunks())
        std = np.sqrt(square / stored.n_events)
        varies = std > 1e-6 * np.maximum(np.abs(mean), 1e-30)
        return VectorSpec(
            columns=[config.column],
            shape=list(config.shape),
            dtype=config.dtype,
            mean=np.asarray(mean).tolist(),
            std=np.where(varies, std, 1.0).tolist(),
        )

    def make(self, step: Tensor, payload: np.ndarray) -> VectorEvents:
        return VectorEvents(step, torch.from_numpy(payload))

    def ready(self, events: VectorEvents) -> VectorEvents:
        return VectorEvents(events.step, (events.values.to(self.mean) - self.mean) / self.std)

    def several(self, value: Any) -> list[Any]:
        """A list of vectors is several; one alone has as many axes as `shape`."""
        if isinstance(value, list) and _depth(value) > len(self.spec.shape):
            return value
        return [value]


def _flat(payload: np.ndarray) -> np.ndarray:
    return payload.reshape(len(payload), math.prod(payload.shape[1:])).astype(np.float64)


def _depth(value: Any) -> int:
    """Axes of a nested list; what is no list has those of the array that it is."""
    if isinstance(value, (list, tuple)):
        return 1 + (_depth(value[0]) if len(value) else 0)
    return np.ndim(value) if isinstance(value, np.ndarray) else 0


def _array(cell: Any) -> np.ndarray:
    """A list, an array, JSON text or the bytes of a `.npy` file. Raises ValueError for anything else."""
    if isinstance(cell, str):
        cell = json.loads(cell)
    if isinstance(cell, bytes):
        return np.load(io.BytesIO(cell), allow_pickle=False)
    if not isinstance(cell, (list, tuple, np.ndarray)):
        raise ValueError(f"a vector is a list of numbers; {str(cell)[:60]!r} came")
    return np.asarray(cell)


def _numbers(cells: pyarrow.Array, shape: tuple[int, ...]) -> np.ndarray | None:
    """Nested lists as one array; None where they are none, or of another shape, or something is missing."""
    flat, n = cells, len(cells)
    for size in shape:
        if not (pyarrow.types.is_list(flat.type) or pyarrow.types.is_large_list(flat.type)):
            return None
        lengths = flat.value_lengths()
        if flat.null_count or (n and not (lengths.to_numpy() == size).all()):
            return None
        flat, n = flat.flatten(), n * size
    is_number = pyarrow.types.is_floating(flat.type) or pyarrow.types.is_integer(flat.type)
    if not is_number or flat.null_count:
        return None
    return flat.to_numpy(zero_copy_only=False).reshape(-1, *shape)
