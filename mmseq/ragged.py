"""Rows of any length each, in one flat array."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Shaped

Index = Int64[np.ndarray, "_"]


@dataclass(frozen=True)
class Ragged:
    """One-dimensional rows side by side.

    Attributes:
        elements: of all rows, one after the other.
        starts: where each row begins, and the number of elements at the end.
    """

    elements: Shaped[np.ndarray, "element"]
    starts: Int64[np.ndarray, "bound"]

    @classmethod
    def of(cls, rows: Sequence[np.ndarray], dtype: str) -> Ragged:
        """Rows as one flat array."""
        elements = np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False)
        return cls(elements, starts_of(np.array([len(row) for row in rows], np.int64)))

    @classmethod
    def join(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of several, at least one, one after the other."""
        counts = np.concatenate([part.counts for part in parts])
        return cls(np.concatenate([part.elements for part in parts]), starts_of(counts))

    @property
    def dtype(self) -> np.dtype:
        return self.elements.dtype

    @property
    def counts(self) -> Int64[np.ndarray, "row"]:
        """Elements of each row."""
        return self.starts[1:] - self.starts[:-1]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        for first, stop in zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            yield self.elements[first:stop]

    def __getitem__(self, rows: slice | Shaped[np.ndarray, "picked"]) -> Ragged:
        """Some of the rows, in the order that is asked for."""
        first, counts = self.starts[:-1][rows], self.counts[rows]
        starts = starts_of(counts)
        return Ragged(self.elements.take(ranges(first, counts, starts)), starts)


def starts_of(counts: Index) -> Index:
    """0, counts[0], counts[0] + counts[1], …"""
    starts = np.empty(len(counts) + 1, np.int64)
    starts[0] = 0
    counts.cumsum(out=starts[1:])
    return starts


def ranges(first: Index, counts: Index, starts: Index) -> Index:
    """first[0], first[0] + 1, … (counts[0] of them), first[1], …"""
    index = (first - starts[:-1]).repeat(counts)
    index += np.arange(len(index))
    return index
