"""Rows of some samples, wherever they stand: one index for each set of starts, one take for each array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

Index = Int64[np.ndarray, "_"]


@dataclass(frozen=True)
class Place:
    """Where the rows of some samples stand.

    Attributes:
        starts: first row of each sample among the picked ones, and their number at the end.
        parts: shard, and rows in that shard.
        order: brings the parts' rows, one part after the other, into the order of the samples; None
            where they are in it.
    """

    starts: Int64[np.ndarray, "bound"]
    parts: Sequence[tuple[int, Index]]
    order: Index | None

    def take(self, arrays: Sequence[np.ndarray], like: np.ndarray) -> np.ndarray:
        """The picked rows of an array that is divided over the parts' shards.

        Args:
            arrays: of each part.
            like: has the dtype and the shape of a row, for when there are no parts.
        """
        if len(arrays) == 1:
            return arrays[0].take(self.parts[0][1], axis=0)
        rows = np.empty((self.starts[-1], *like.shape[1:]), like.dtype)
        start = 0
        for array, (_, index) in zip(arrays, self.parts, strict=True):
            array.take(index, axis=0, out=rows[start : start + len(index)], mode="clip")
            start += len(index)
        return rows if self.order is None else rows.take(self.order, axis=0)


@dataclass(frozen=True)
class Shelf:
    """Which samples are wanted, and in which shard each stands.

    Attributes:
        samples: their indices, in the order wanted.
        first: first sample of each shard of the store.
        shard: of each wanted sample.
        by_shard: brings the samples into the order of shards; None where they are in it.
    """

    samples: Index
    first: Int64[np.ndarray, "shard"]
    shard: Index
    by_shard: Index | None

    @classmethod
    def of(cls, samples: Index, first: Int64[np.ndarray, "shard"]) -> Shelf:
        shard = np.searchsorted(first, samples, side="right") - 1
        is_sorted = bool(np.all(shard[1:] >= shard[:-1]))
        return cls(samples, first, shard, None if is_sorted else np.argsort(shard, kind="stable"))

    def place(self, index: Int64[np.ndarray, "bound"]) -> Place:
        """Finds the rows, given the first row of every sample of the store."""
        rows = index[self.samples]
        counts = index[self.samples + 1] - rows
        rows = rows - index[self.first][self.shard]  # within the shard
        starts = _starts(counts)
        if self.by_shard is None:
            return Place(starts, self._parts(_ranges(rows, counts), self.shard, starts), None)
        by = self.by_shard
        placed = _starts(counts[by])
        parts = self._parts(_ranges(rows[by], counts[by]), self.shard[by], placed)
        position = np.empty_like(starts[:-1])
        position[by] = placed[:-1]
        return Place(starts, parts, _ranges(position, counts))

    def _parts(self, rows: Index, shard: Index, starts: Index) -> list[tuple[int, Index]]:
        first = np.flatnonzero(np.diff(shard, prepend=-1))
        bounds = starts[np.append(first, len(shard))].tolist()
        return [(number, rows[bounds[i] : bounds[i + 1]]) for i, number in enumerate(shard[first].tolist())]


def _starts(counts: Index) -> Int64[np.ndarray, "bound"]:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _ranges(first: Index, counts: Index) -> Index:
    """first[0], first[0] + 1, … (counts[0] of them), first[1], …"""
    starts = _starts(counts)
    return np.repeat(first - starts[:-1], counts) + np.arange(starts[-1])
