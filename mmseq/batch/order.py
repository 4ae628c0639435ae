"""Which samples are trained together, and when: a pure function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from mmseq.batch.pools import Pool, drawn
from mmseq.random import permutation


@dataclass(frozen=True)
class Order:
    """The global batches of each epoch.

    Samples are shuffled, taken in groups of `bucket` batches, sorted by length within a group (so that
    rows of a batch end together), cut into batches, and the batches shuffled.

    Attributes:
        samples: store indices to train on.
        lengths: steps of each of them.
        seed: of the run.
        size: samples in a global batch; the last of an epoch may have fewer.
        steps: a step budget for a global batch, instead of `size`; a longer sample stands alone.
        bucket: batches in a group.
        pools: to draw samples from at set shares; none: every sample once an epoch. A sample stands in a
            batch once, however few there are to draw from.
    """

    samples: Int64[np.ndarray, "sample"]
    lengths: Int64[np.ndarray, "sample"]
    seed: int
    size: int | None = 32
    steps: int | None = None
    bucket: int = 8
    pools: Sequence[Pool] = ()

    def epoch(self, epoch: int) -> list[Int64[np.ndarray, "_member"]]:
        """Store indices of each global batch, in order."""
        batches = [b for group in self._groups(epoch) for b in self._cut(group)]
        return [self.samples[batches[i]] for i in permutation(len(batches), self.seed, epoch, 1)]

    def n_batches(self, epoch: int) -> int:
        """How many global batches an epoch has."""
        return -(-len(self.samples) // self.size) if self.size is not None else len(self.epoch(epoch))

    def _groups(self, epoch: int) -> list[np.ndarray]:
        """The epoch's samples, in groups of batches, each in the order in which they are cut into batches."""
        if self.pools:
            shuffled, source = drawn(self.pools, len(self.samples), self.seed, epoch)
        else:
            shuffled = permutation(len(self.samples), self.seed, epoch, 0)
            source = np.zeros(len(shuffled), np.int64)
        if self.size is not None:
            group = np.arange(len(shuffled)) // (self.size * self.bucket)
        else:
            assert self.steps is not None
            group = np.cumsum(self.lengths[shuffled]) // (self.steps * self.bucket)
        bounds = np.flatnonzero(np.diff(group)) + 1
        parts = zip(np.split(shuffled, bounds), np.split(source, bounds), strict=True)
        return [self._by_length(members, pool) for members, pool in parts]

    def _by_length(self, members: np.ndarray, pool: np.ndarray) -> np.ndarray:
        """Sorted by length, those of each pool spread evenly over the batches."""
        if self.bucket == 1:
            return members
        by_pool = np.lexsort((self.lengths[members], _times_before(members), pool))
        rank = np.empty(len(members))
        for one in np.split(by_pool, np.flatnonzero(np.diff(pool[by_pool])) + 1):
            rank[one] = (np.arange(len(one)) + 0.5) / max(len(one), 1)
        return members[np.argsort(rank, kind="stable")]

    def _cut(self, group: np.ndarray) -> list[np.ndarray]:
        if self.size is not None:
            parts = [group[i : i + self.size] for i in range(0, len(group), self.size)]
            return [_once(part) for part in parts] if self.pools else parts
        batches: list[list[int]] = [[]]
        assert self.steps is not None
        budget = self.steps
        for member in group:
            budget -= self.lengths[member]
            if budget < 0 and batches[-1]:
                batches.append([])
                budget = self.steps - self.lengths[member]
            batches[-1].append(member)
        return [_once(np.array(batch)) for batch in batches if batch]


def _times_before(members: np.ndarray) -> np.ndarray:
    """How often each came before."""
    order = np.argsort(members, kind="stable")
    first = np.flatnonzero(np.diff(members[order], prepend=-1))
    times = np.empty(len(members), np.int64)
    times[order] = np.arange(len(members)) - np.repeat(first, np.diff(first, append=len(members)))
    return times


def _once(members: np.ndarray) -> np.ndarray:
    """Each once, where it came first."""
    return members[np.sort(np.unique(members, return_index=True)[1])]


def split(
    samples: Int64[np.ndarray, "member"], lengths: Int64[np.ndarray, "member"], parts: int
) -> list[Int64[np.ndarray, "_member"]]:
    """Divides a global batch so that each part has about as many steps; parts may be empty."""
    if parts == 1:
        return [samples]
    loads = [0] * parts
    chosen: list[list[int]] = [[] for _ in range(parts)]
    for i in np.argsort(-lengths, kind="stable"):
        lightest = loads.index(min(loads))
        loads[lightest] += int(lengths[i])
        chosen[lightest].append(i)
    return [samples[np.array(part, dtype=np.int64)] for part in chosen]
