"""Targets that the inputs provide: what a modality's feature will be, some time after each step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float64, Int64

from mmseq.batch.ahead import Ahead, Values, within
from mmseq.batch.asked import Asked
from mmseq.batch.last_values import LastValues, or_before, previous_values
from mmseq.batch.maker import Given, TargetMaker
from mmseq.batch.target import Target

if TYPE_CHECKING:
    from mmseq.heads import Head
    from mmseq.store import Gathered, Window


class HorizonTargets(TargetMaker):
    """What a head is to say of each step that has a value within its horizon.

    Args:
        head: encodes the values.
        ahead: reads them.
        previous: also tell the last value known at each step, for the baseline.
    """

    def __init__(self, head: Head, ahead: Ahead, *, previous: bool) -> None:
        super().__init__(head)
        self.ahead, self.previous = ahead, previous
        self.last = LastValues(ahead.store, ahead.name)

    def needs(self, window: Window | None) -> Mapping[str, bool]:
        return {self.ahead.name: True} if window is None else {}

    def target(self, given: Given) -> Target:
        """Values of which, in a window, those of its last steps lie after it."""
        ahead, asked, gathered = self.ahead, given.asked, given.gathered
        width = len(gathered.time)
        if asked.window is not None:
            first, last = asked.window
            seen, width = (first, ahead.stop(asked.samples, last)), last - first
            gathered = ahead.store.gather(asked.samples, [ahead.name], [], seen)
        return self._target(asked, gathered, width)

    def _target(self, asked: Asked, gathered: Gathered, width: int) -> Target:
        """Of the first `width` steps of each sample; the others are gathered for their values."""
        starts = gathered.starts
        step, values = found = self.ahead.read(gathered.events[self.ahead.name])
        where, row = within(step, starts, gathered.time, self.ahead.horizon)
        sample = np.searchsorted(starts, where, side="right") - 1
        place = where - starts[sample]
        inside = np.flatnonzero(place < width)
        encoded = self.ahead.encode(self.head, values[row[inside]])
        kept = inside[encoded.row]
        known = None
        if self.previous:
            known = torch.from_numpy(self._known(asked, starts, found, where[kept], sample[kept]))
        here = np.cumsum([0, *np.minimum(np.diff(starts), width)])
        at = torch.from_numpy(here[sample[kept]] + place[kept])
        return Target(at, torch.from_numpy(encoded.value), previous=known)

    def _known(
        self,
        asked: Asked,
        starts: Int64[np.ndarray, "bound"],
        events: Values,
        where: Int64[np.ndarray, "label"],
        sample: Int64[np.ndarray, "label"],
    ) -> Float64[np.ndarray, "label 1"]:
        """The last value at each label's step."""
        step, values = events
        observed = np.ones((len(values), 1), bool)
        last = previous_values(values[:, None], observed, step, where, starts[sample])
        last = or_before(last, self.last.before(asked, self.ahead.known), sample)
        return self._as_value(last[:, 0])

    def _as_value(self, known: Float64[np.ndarray, "row"]) -> Float64[np.ndarray, "row 1"]:
        """Values, NaN where there is none, as `Target.previous` has them: of a word, its class."""
        if self.ahead.part == "code":
            row = np.flatnonzero(~np.isnan(known))
            encoded, codes = self.ahead.encode(self.head, known[row]), known
            known = np.full(len(codes), np.nan)
            known[row[encoded.row]] = encoded.value
        return known[:, None]
