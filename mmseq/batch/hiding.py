"""Targets that the inputs themselves provide: observed cells of a numeric modality, hidden from the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmseq.batch.asked import Asked
from mmseq.batch.events import NumericEvents
from mmseq.batch.last_values import Known, LastValues, or_before, previous_values
from mmseq.batch.maker import Given, StoredModality, TargetMaker
from mmseq.batch.target import Target
from mmseq.random import hash_key, hash_name, integers, row_keys

if TYPE_CHECKING:
    from mmseq.heads import Head
    from mmseq.store import Window
    from mmseq.store.gather import Rows

_RESOLUTION = 1 << 53  # of a chance
_EVALUATION = hash_key(0x6D, 0x61, 0x73, 0x6B)
"""What is hidden in evaluation depends on no seed: over stores of the same samples, models whose tasks have
one name and one `hide` are asked for the same cells."""


class HiddenTargets(TargetMaker):
    """What a task hides of its modality.

    A cell is hidden by a hash of (seed, task, sample, step, which event of the step, feature): the same in
    any batch, window or process.

    Args:
        head: weighs the cells.
        stored: the modality.
        task: whose cells; each task hides its own.
        share: of the observed cells.
        previous: also tell the last value that is not hidden, for the baseline.
    """

    def __init__(
        self, head: Head, stored: StoredModality, *, task: str, share: float, previous: bool
    ) -> None:
        super().__init__(head)
        self.stored, self.share, self.previous = stored, share, previous
        self.layer = hash_name(f"hide {task}")
        self.last = LastValues(stored.store, stored.name)

    def needs(self, window: Window | None) -> Mapping[str, bool]:
        return {self.stored.name: True}

    def cells(
        self, events: NumericEvents, asked: Asked, starts: Int64[np.ndarray, "bound"]
    ) -> Bool[Tensor, "event feature"]:
        """Which cells are hidden; of features that training never observed, none.

        Args:
            events: of the modality.
            asked: whose steps they stand at.
            starts: the first step of each sample here, and the number of steps at the end.
        """
        step = events.step.numpy()
        sample = np.searchsorted(starts, step, side="right") - 1
        first = np.flatnonzero(np.diff(step, prepend=-1))
        rank = np.arange(len(step)) - np.repeat(first, np.diff(np.append(first, len(step))))
        key = row_keys(asked.samples[sample].astype(np.int64), step - starts[sample] + asked.begin, rank)
        seed = _EVALUATION if asked.seed is None else asked.seed
        drawn = integers(_RESOLUTION, key, events.values.shape[1], seed, self.layer)
        hidden = torch.from_numpy(drawn < self.share * _RESOLUTION)
        seen = torch.tensor([share < 1 for share in self.stored.modality.spec.missing])
        return hidden & events.observed & seen

    def target(self, given: Given) -> Target:
        """The events of which something is hidden, to be predicted at their steps."""
        name = self.stored.name
        events, hidden = cast(NumericEvents, given.events[name]), given.hidden[name]
        rows = torch.nonzero(hidden.any(1))[:, 0]
        where, mask = events.step[rows], hidden[rows]
        known = None
        if self.previous:
            step, at, starts = events.step.numpy(), where.numpy(), given.gathered.starts
            sample = np.searchsorted(starts, at, side="right") - 1
            visible = (events.observed & ~hidden).numpy()
            last = previous_values(events.values.numpy(), visible, step, at, starts[sample])
            before = self.last.before(given.asked, partial(self._visible, given.asked))
            known = torch.from_numpy(or_before(last, before, sample))
        return Target(where, torch.where(mask, events.values[rows], 0), mask, previous=known)

    def _visible(self, asked: Asked, rows: Rows, sample: int, first: int) -> Known:
        """What some rows show of the modality."""
        events = cast(NumericEvents, self.stored.events(rows))
        n_steps = int(rows.step[-1]) + 1 if len(rows) else 0
        alone = replace(asked, samples=np.array([sample]), window=(first, first + n_steps))
        hidden = self.cells(events, alone, np.array([0, n_steps]))
        return events.values.numpy(), (events.observed & ~hidden).numpy()


def without(events: NumericEvents, hidden: Bool[Tensor, "event feature"]) -> NumericEvents:
    """The events as if some cells had never been observed."""
    return replace(events, values=torch.where(hidden, 0, events.values), observed=events.observed & ~hidden)
