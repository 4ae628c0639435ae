"""Which samples are trained together, and when: a pure function of (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

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
    """

    samples: Int64[np.ndarray, "sample"]
    lengths: Int64[np.ndarray, "sample"]
    seed: int
    size: int | None = 32
    steps: int | None = None
    bucket: int = 8

    def epoch(self, epoch: int) -> list[Int64[np.ndarray, "_member"]]:
        """Store indices of each global batch, in order."""
        shuffled = permutation(len(self.samples), self.seed, epoch, 0)
        batches = [b for group in self._groups(shuffled) for b in self._cut(self._by_length(group))]
        return [self.samples[batches[i]] for i in permutation(len(batches), self.seed, epoch, 1)]

    def n_batches(self, epoch: int) -> int:
        """How many global batches an epoch has."""
        return -(-len(self.samples) // self.size) if self.size is not None else len(self.epoch(epoch))

    def _groups(self, shuffled: np.ndarray) -> list[np.ndarray]:
        if self.size is not None:
            size = self.size * self.bucket
            return [shuffled[i : i + size] for i in range(0, len(shuffled), size)]
        assert self.steps is not None
        group = np.cumsum(self.lengths[shuffled]) // (self.steps * self.bucket)
        return np.split(shuffled, np.flatnonzero(np.diff(group)) + 1)

    def _by_length(self, group: np.ndarray) -> np.ndarray:
        return group if self.bucket == 1 else group[np.argsort(self.lengths[group], kind="stable")]

    def _cut(self, group: np.ndarray) -> list[np.ndarray]:
        if self.size is not None:
            return [group[i : i + self.size] for i in range(0, len(group), self.size)]
        batches: list[list[int]] = [[]]
        assert self.steps is not None
        budget = self.steps
        for member in group:
            budget -= self.lengths[member]
            if budget < 0 and batches[-1]:
                batches.append([])
                budget = self.steps - self.lengths[member]
            batches[-1].append(member)
        return [np.array(batch) for batch in batches if batch]


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
