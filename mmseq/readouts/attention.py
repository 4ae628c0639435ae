"""A learned query's attention over all steps so far."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.prefix import Summary, segment_max, segment_sum
from mmseq.readouts import ReadoutConfig, readouts
from mmseq.readouts.summary import SummaryReadout


class AttentionConfig(ReadoutConfig):
    kind: Literal["attention"]


@readouts.register(AttentionConfig)
class AttentionReadout(SummaryReadout):
    """Σ exp(e) h / Σ exp(e) over the steps so far, with e = q · tanh(W h + b) and a learned query q.

    The softmax is online: both sums are kept relative to the largest e so far, so that no exponential
    overflows. State: `max` (the largest e), `weight` (Σ exp(e − max)), `value` (Σ exp(e − max) h).

    Sources: Yang et al. 2016, "Hierarchical attention networks", equations 5 to 7; Milakov and
    Gimelshein 2018, "Online normalizer calculation for softmax".
    """

    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.key = nn.Linear(hidden, hidden)
        self.query = nn.Linear(hidden, 1, bias=False)

    def energy(self, hidden: Float[Tensor, "step hidden"]) -> Float[Tensor, "step 1"]:
        return self.query(self.key(hidden).tanh()).to(hidden.dtype)

    def empty(self, like: Float[Tensor, "step hidden"], n_samples: int) -> Summary:
        return {
            "max": like.new_full((n_samples, 1), torch.finfo(like.dtype).min),
            "weight": like.new_zeros(n_samples, 1),
            "value": like.new_zeros(n_samples, self.hidden),
        }

    def each(self, hidden: Float[Tensor, "step hidden"]) -> Summary:
        energy = self.energy(hidden)
        return _weighted(hidden, energy, energy.detach())

    def reduce(self, hidden: Float[Tensor, "step hidden"], timeline: Timeline) -> Summary:
        energy = self.energy(hidden)
        largest = segment_max(energy.detach(), timeline)
        steps = _weighted(hidden, energy, largest[timeline.sample])
        sums = {name: segment_sum(steps[name], timeline) for name in ("weight", "value")}
        return {"max": largest, **sums}

    def combine(self, earlier: Summary, later: Summary) -> Summary:
        largest = torch.maximum(earlier["max"], later["max"])
        before, after = (earlier["max"] - largest).exp(), (later["max"] - largest).exp()
        sums = {name: earlier[name] * before + later[name] * after for name in ("weight", "value")}
        return {"max": largest, **sums}

    def read(self, summary: Summary) -> Float[Tensor, "query hidden"]:
        return summary["value"] / torch.where(summary["weight"] > 0, summary["weight"], 1)


def _weighted(
    hidden: Float[Tensor, "step hidden"], energy: Float[Tensor, "step 1"], largest: Float[Tensor, "step 1"]
) -> Summary:
    """Weights relative to `largest`, which is a constant: it divides out of what is read."""
    weight = (energy - largest).exp()
    return {"max": largest, "weight": weight, "value": weight * hidden}
