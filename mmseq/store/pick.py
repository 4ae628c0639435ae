"""Rows of some samples, wherever they stand: one index for each set of starts, one take for each array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Int64

from mmseq.ragged import ranges, starts_of

Index = Int64[np.ndarray, "_"]


@dataclass(frozen=True)
class PickedRows:
    """Rows of some samples, and where they stand.

    Attributes:
        counts: rows of each sample.
        starts: first row of each sample among the picked ones, and their number at the end.
        parts: shard, and rows in that shard.
        order: brings the parts' rows, one part after the other, into the order of the samples; None
            where they are in it.
    """

    counts: Index
    starts: Index
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
            stop = start + len(index)
            array.take(index, axis=0, out=rows[start:stop], mode="clip")
            start = stop
        return rows if self.order is None else rows.take(self.order, axis=0)


class Shelf:
    """Which samples are wanted, and in which shard each stands.

    Args:
        samples: their indices, in the order wanted.
        first: first sample of each shard of the store.
    """

    def __init__(self, samples: Index, first: Index) -> None:
        shard = first.searchsorted(samples, side="right") - 1
        self.by_shard = None if (shard[1:] >= shard[:-1]).all() else shard.argsort(kind="stable")
        in_order = shard if self.by_shard is None else shard[self.by_shard]
        changes = (in_order[1:] != in_order[:-1]).nonzero()[0] + 1
        bounds = [0, *changes.tolist(), len(samples)] if len(samples) else [0]
        self.samples, self.next = samples, samples + 1
        self.shard, self.first_sample = shard, first[shard]
        self.shards = [(int(in_order[a]), a, b) for a, b in pairwise(bounds)]

    def span(self, index: Index) -> tuple[Index, Index]:
        """First row of each sample, counted over the store, and how many it has."""
        first = index[self.samples]
        return first, index[self.next] - first

    def place(self, index: Index, first: Index, counts: Index) -> PickedRows:
        """Finds the rows.

        Args:
            index: first row of every sample of the store.
            first: the first that is wanted of each sample, counted over the store.
            counts: how many are.
        """
        rows = first - index[self.first_sample]  # now within the shard
        starts = starts_of(counts)
        if self.by_shard is None:
            return PickedRows(counts, starts, self._parts(ranges(rows, counts, starts), starts), None)
        by = self.by_shard
        sorted_counts = counts[by]
        placed = starts_of(sorted_counts)
        parts = self._parts(ranges(rows[by], sorted_counts, placed), placed)
        position = np.empty_like(counts)
        position[by] = placed[:-1]
        return PickedRows(counts, starts, parts, ranges(position, counts, starts))

    def _parts(self, rows: Index, starts: Index) -> list[tuple[int, Index]]:
        if len(self.shards) == 1:
            return [(self.shards[0][0], rows)]
        return [(shard, rows[starts[a] : starts[b]]) for shard, a, b in self.shards]
