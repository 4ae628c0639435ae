"""The last step."""

from __future__ import annotations

from typing import Literal, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.readouts import Readout, ReadoutConfig, readouts
from mmseq.state import State


class LastConfig(ReadoutConfig):
    kind: Literal["last"]


@readouts.register(LastConfig)
class LastReadout(Readout):
    """The hidden vector of the queried step itself. State: `last`, zeros before the first step."""

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
        if at is not None and not timeline.continues:
            return hidden[at], {}
        if timeline.is_one_step:
            return hidden if at is None else hidden[at], {"last": hidden}
        if at is None and 0 not in timeline.lengths_list:
            last = hidden.index_select(0, timeline.last)
            return last, {"last": last}
        before = cast(Tensor, state["last"]) if state else hidden.new_zeros(timeline.n_samples, self.hidden)
        if timeline.n_steps:
            stepped = (timeline.lengths > 0)[:, None]
            last = torch.where(stepped, hidden[timeline.last.clamp(min=0)], before)
        else:
            last = before + hidden.sum(0)  # nothing, but on the graph
        return last if at is None else hidden[at], {"last": last}
