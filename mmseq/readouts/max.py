"""The maximum over all steps so far."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.prefix import Summary, segment_max
from mmseq.readouts import ReadoutConfig, readouts
from mmseq.readouts.summary import SummaryReadout


class MaxConfig(ReadoutConfig):
    kind: Literal["max"]


@readouts.register(MaxConfig)
class MaxReadout(SummaryReadout):
    """The largest value of each hidden unit so far. State: `max` (the lowest number at first), `count`.

    The gradient goes to the latest of equal steps.
    """

    def empty(self, like: Float[Tensor, "step hidden"], n_samples: int) -> Summary:
        lowest = torch.finfo(like.dtype).min
        return {"max": like.new_full((n_samples, self.hidden), lowest), "count": like.new_zeros(n_samples, 1)}

    def each(self, hidden: Float[Tensor, "step hidden"]) -> Summary:
        return {"max": hidden, "count": hidden.new_ones(len(hidden), 1)}

    def reduce(self, hidden: Float[Tensor, "step hidden"], timeline: Timeline) -> Summary:
        return {"max": segment_max(hidden, timeline), "count": timeline.lengths[:, None].to(hidden.dtype)}

    def combine(self, earlier: Summary, later: Summary) -> Summary:
        # Not torch.maximum, which divides the gradient between equals: a chunked run would then differ.
        stays = earlier["max"] > later["max"]
        largest = torch.where(stays | earlier["max"].isnan(), earlier["max"], later["max"])
        return {"max": largest, "count": earlier["count"] + later["count"]}

    def read(self, summary: Summary) -> Float[Tensor, "query hidden"]:
        return torch.where(summary["count"] > 0, summary["max"], 0)
