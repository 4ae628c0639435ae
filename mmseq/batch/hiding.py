"""Targets that the inputs themselves provide: observed cells of a numeric modality, hidden from the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from mmseq.batch.events import NumericEvents
from mmseq.batch.next_step import Known, previous_values
from mmseq.batch.target import Target
from mmseq.random import hash_key, hash_name, integers, row_keys

if TYPE_CHECKING:
    from mmseq.modalities import Modality
    from mmseq.store.gather import Rows

_RESOLUTION = 1 << 53  # of a chance
EVALUATION = hash_key(0x6D, 0x61, 0x73, 0x6B)
"""What is hidden in evaluation depends on no seed: over stores of the same samples, models whose tasks have
one name and one `hide` are asked for the same cells."""


@dataclass(frozen=True)
class Place:
    """Where some events stand in their samples.

    Attributes:
        samples: their places in the store.
        starts: the first step of each here, and the number of steps at the end.
        begin: the place in its sample of each sample's first step here.
        seed: of an optimizer step, or `EVALUATION`.
    """

    samples: Int64[np.ndarray, "member"]
    starts: Int64[np.ndarray, "bound"]
    begin: int
    seed: int

    def sample(self, step: Int64[np.ndarray, "event"]) -> Int64[np.ndarray, "event"]:
        """The sample of each step, counted over those that are here."""
        return np.searchsorted(self.starts, step, side="right") - 1


@dataclass(frozen=True)
class Hiding:
    """What a task hides of its modality.

    A cell is hidden by a hash of (seed, task, sample, step, which event of the step, feature): the same in
    any batch, window or process.

    Attributes:
        task: its name.
        name: of the modality.
        modality: itself.
        share: of the observed cells.
    """

    task: str
    name: str
    modality: Modality
    share: float

    def cells(self, events: NumericEvents, place: Place) -> Bool[Tensor, "event feature"]:
        """Which cells are hidden; of features that training never observed, none."""
        step = events.step.numpy()
        sample = place.sample(step)
        first = np.flatnonzero(np.diff(step, prepend=-1))
        rank = np.arange(len(step)) - np.repeat(first, np.diff(np.append(first, len(step))))
        key = row_keys(
            place.samples[sample].astype(np.int64), step - place.starts[sample] + place.begin, rank
        )
        drawn = integers(_RESOLUTION, key, events.values.shape[1], place.seed, hash_name(f"hide {self.task}"))
        hidden = torch.from_numpy(drawn < self.share * _RESOLUTION)
        seen = torch.tensor([share < 1 for share in self.modality.spec.missing])
        return hidden & events.observed & seen

    def target(
        self,
        events: NumericEvents,
        hidden: Bool[Tensor, "event feature"],
        place: Place,
        *,
        previous: bool,
        before: Float64[np.ndarray, "member feature"] | None,
    ) -> Target:
        """The events of which something is hidden, to be predicted at their steps.

        Args:
            events: as they are.
            hidden: cells of them.
            place: where they are.
            previous: also tell the last value that is not hidden, for the baseline.
            before: what was known of each sample before its first step here.
        """
        rows = torch.nonzero(hidden.any(1))[:, 0]
        where, mask = events.step[rows], hidden[rows]
        known = None
        if previous:
            step, at = events.step.numpy(), where.numpy()
            sample = place.sample(at)
            visible = (events.observed & ~hidden).numpy()
            known = previous_values(events.values.numpy(), visible, step, at, place.starts[sample])
            if before is not None:
                known = np.where(np.isnan(known), before[sample], known)
        value = torch.where(mask, events.values[rows], 0)
        return Target(where, value, mask, previous=None if known is None else torch.from_numpy(known))

    def visible(
        self, vocabularies: tuple[tuple[str, ...], ...], seed: int
    ) -> Callable[[Rows, int, int], Known]:
        """Reads what some rows show of a modality, for `last_before`."""

        def read(rows: Rows, sample: int, first: int) -> Known:
            events = self.modality.events(torch.from_numpy(rows.step), rows.arrays, vocabularies)
            assert isinstance(events, NumericEvents)
            n_steps = int(rows.step[-1]) + 1 if len(rows) else 0
            place = Place(np.array([sample]), np.array([0, n_steps]), first, seed)
            return events.values.numpy(), (events.observed & ~self.cells(events, place)).numpy()

        return read


def without(events: NumericEvents, hidden: Bool[Tensor, "event feature"]) -> NumericEvents:
    """The events as if some cells had never been observed."""
    return replace(events, values=torch.where(hidden, 0, events.values), observed=events.observed & ~hidden)
