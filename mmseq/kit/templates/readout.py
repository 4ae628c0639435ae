"""A mean in which later steps count more."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.prefix import Summary, segment_sum
from mmseq.readouts import ReadoutConfig, readouts
from mmseq.readouts.summary import SummaryReadout


class MyKindConfig(ReadoutConfig):
    kind: Literal["my_kind"]
    keep: float = Field(0.9, gt=0, lt=1, description="weight of a step against the next one, at first")


@readouts.register(MyKindConfig)
class MyKindReadout(SummaryReadout):
    """Σ_i a^(n - i) · h_i / Σ_i a^(n - i) over the n steps so far, with a = σ(r) learned.

    State: the `sum` and the `weight` of the steps so far, and how many `steps` they are. The base class
    does the rest: it needs the summary of a step and of a sample, and how two summaries become one.
    """

    def __init__(self, hidden: int, *, keep: float) -> None:
        super().__init__(hidden)
        self.rate = nn.Parameter(torch.tensor(math.log(keep / (1 - keep))))

    def empty(self, like: Float[Tensor, "step hidden"], n_samples: int) -> Summary:
        none = like.new_zeros(n_samples, 1)
        return {"sum": like.new_zeros(n_samples, self.hidden), "weight": none, "steps": none}

    def each(self, hidden: Float[Tensor, "step hidden"]) -> Summary:
        one = hidden.new_ones(len(hidden), 1)
        return {"sum": hidden, "weight": one, "steps": one}

    def reduce(self, hidden: Float[Tensor, "step hidden"], timeline: Timeline) -> Summary:
        later = timeline.last[timeline.sample] - torch.arange(len(hidden), device=hidden.device)
        weight = (self.rate.sigmoid() ** later)[:, None].to(hidden.dtype)
        return {
            "sum": segment_sum(weight * hidden, timeline),
            "weight": segment_sum(weight, timeline),
            "steps": timeline.lengths[:, None].to(hidden.dtype),
        }

    def combine(self, earlier: Summary, later: Summary) -> Summary:
        faded = self.rate.sigmoid() ** later["steps"]
        both = {name: faded * earlier[name] + later[name] for name in ("sum", "weight")}
        return {**both, "steps": earlier["steps"] + later["steps"]}

    def read(self, summary: Summary) -> Float[Tensor, "query hidden"]:
        return summary["sum"] / summary["weight"].clamp(min=1)
