"""What a next event without a likelihood is told apart from: itself among events that were drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from mmseq.batch.events import Events


@dataclass(frozen=True)
class Candidates:
    """The steps of a modality that labels are compared with, each a sample of its own, of one step.

    Attributes:
        own: events of the steps that are some label's next one; `step` is the candidate.
        drawn: events of the steps that were drawn: so many of the first sample, as many of the next, …
        n_own, n_drawn: how many candidates each has.
        positive: which of `own` is the label's next step.
        sample: whose draws the label is compared with.
    """

    own: Events
    drawn: Events
    n_own: int
    n_drawn: int
    positive: Int64[Tensor, "label"]
    sample: Int64[Tensor, "label"]

    def __len__(self) -> int:
        return len(self.positive)

    def take(self, rows: Int64[Tensor, "row"]) -> Candidates:
        """Those of some of the labels."""
        return replace(
            self, positive=self.positive.index_select(0, rows), sample=self.sample.index_select(0, rows)
        )

    def to(self, device: Any) -> Candidates:
        return replace(
            self,
            own=self.own.to(device),
            drawn=self.drawn.to(device),
            positive=self.positive.to(device),
            sample=self.sample.to(device),
        )
