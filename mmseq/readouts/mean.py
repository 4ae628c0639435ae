"""The mean over all steps so far."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.prefix import Summary, segment_sum
from mmseq.readouts import ReadoutConfig, readouts
from mmseq.readouts.summary import SummaryReadout


class MeanConfig(ReadoutConfig):
    kind: Literal["mean"]


@readouts.register(MeanConfig)
class MeanReadout(SummaryReadout):
    """Σ h / n over the steps so far. State: `sum`, `count`."""

    def empty(self, like: Float[Tensor, "step hidden"], n_samples: int) -> Summary:
        return {"sum": like.new_zeros(n_samples, self.hidden), "count": like.new_zeros(n_samples, 1)}

    def each(self, hidden: Float[Tensor, "step hidden"]) -> Summary:
        return {"sum": hidden, "count": hidden.new_ones(len(hidden), 1)}

    def reduce(self, hidden: Float[Tensor, "step hidden"], timeline: Timeline) -> Summary:
        return {"sum": segment_sum(hidden, timeline), "count": timeline.lengths[:, None].to(hidden.dtype)}

    def combine(self, earlier: Summary, later: Summary) -> Summary:
        return {name: earlier[name] + later[name] for name in earlier}

    def read(self, summary: Summary) -> Float[Tensor, "query hidden"]:
        return summary["sum"] / summary["count"].clamp(min=1)
