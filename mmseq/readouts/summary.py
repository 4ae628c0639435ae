"""Readouts that summarise all steps so far, however they are grouped."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.prefix import Summary, prefix_scan
from mmseq.readouts import Readout
from mmseq.state import State


class SummaryReadout(Readout):
    """A readout whose summary of many steps is `combine`d, associatively, from those of fewer.

    One read a sample needs one reduction; reads at any steps need a prefix scan. Either goes on from
    the state, which is the summary of everything before.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(
        self,
        hidden: Float[Tensor, "step hidden"],
        timeline: Timeline,
        state: State | None = None,
        at: Int64[Tensor, "query"] | None = None,
    ) -> tuple[Float[Tensor, "query hidden"], State]:
        # Long sums need more digits than half precision has.
        wide = hidden.float() if hidden.element_size() < 4 else hidden
        before = cast(Summary, state) if state else self.empty(wide, timeline.n_samples)
        if at is None:
            after = self.combine(before, self.reduce(wide, timeline))
            return self.read(after).to(hidden.dtype), cast(State, after)
        prefix = prefix_scan(self.combine, self.each(wide), timeline)
        read = self._resume(before, prefix, at, timeline.sample[at])
        return self.read(read).to(hidden.dtype), self._after(before, prefix, timeline)

    def _resume(self, before: Summary, prefix: Summary, at: Tensor, sample: Tensor) -> Summary:
        """What was before the call, joined with the steps of the call up to `at`."""
        earlier = {name: x[sample] for name, x in before.items()}
        return self.combine(earlier, {name: x[at] for name, x in prefix.items()})

    def _after(self, before: Summary, prefix: Summary, timeline: Timeline) -> State:
        """The summary after each sample's last step, if anyone will go on from it."""
        if not timeline.continues:
            return {}
        stepped = torch.nonzero(timeline.lengths)[:, 0]
        last = self._resume(before, prefix, timeline.last[stepped], stepped)
        return {name: x.index_copy(0, stepped, last[name]) for name, x in before.items()}

    @abstractmethod
    def empty(self, like: Float[Tensor, "step hidden"], n_samples: int) -> Summary:
        """The summary of no steps, one row a sample; combining with it changes nothing."""

    @abstractmethod
    def each(self, hidden: Float[Tensor, "step hidden"]) -> Summary:
        """The summary of each step alone."""

    @abstractmethod
    def reduce(self, hidden: Float[Tensor, "step hidden"], timeline: Timeline) -> Summary:
        """The summary of each sample's steps."""

    @abstractmethod
    def combine(self, earlier: Summary, later: Summary) -> Summary:
        """Two summaries → the one of both."""

    @abstractmethod
    def read(self, summary: Summary) -> Float[Tensor, "query hidden"]:
        """Summaries → what they say; zeros for that of no steps."""
