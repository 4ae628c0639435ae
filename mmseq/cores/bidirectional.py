"""Any core, forwards and backwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.cores import Core, CoreConfig, cores
from mmseq.cores.nested import InnerCore, marks_of
from mmseq.state import State


class BidirectionalConfig(CoreConfig):
    """Any core run forwards and another backwards; sees later steps, and so cannot stream."""

    kind: Literal["bidirectional"]
    core: InnerCore = Field(
        default_factory=lambda: cores.parse({"kind": "gru"}),
        description="the core of each direction; the outputs are twice as wide as its own",
    )


@cores.register(BidirectionalConfig)
class BidirectionalCore(Core):
    """h_t = [forward(x_1 … x_t), backward(x_T … x_t)].

    The backward core has weights of its own, and runs over each sample's steps reversed: its Δ is the time to
    the following step, 0 at the sample's last, and its marks stand where the following step is marked.

    Source: Schuster and Paliwal 1997, "Bidirectional recurrent neural networks".
    """

    causal = False

    def __init__(self, width: int, *, core: CoreConfig) -> None:
        super().__init__()
        self.ahead = cores.build(core, width)
        self.back = cores.build(core, width)
        self.hidden = self.ahead.hidden + self.back.hidden
        self.marks = marks_of([self.ahead, self.back])

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """Runs over whole samples.

        Raises:
            ValueError: there is a state, or one is wanted.
        """
        if state is not None or timeline.continues:
            raise ValueError(
                "BidirectionalCore: runs over whole samples, since it looks at later steps; "
                f"got {'a state' if state is not None else 'a timeline with continues=True'}; "
                "leave out the state and continues, or take a causal core to stream or run in chunks"
            )
        flip = reversal(timeline)
        ahead, _ = self.ahead(inputs, timeline)
        back, _ = self.back(inputs.index_select(0, flip), reverse(timeline, flip))
        return torch.cat([ahead, back.index_select(0, flip)], 1), {}


def reversal(timeline: Timeline) -> Int64[Tensor, "step"]:
    """The step that stands in each step's place when every sample runs backwards."""
    ends = timeline.starts[:-1] + timeline.last
    return ends.index_select(0, timeline.sample) - torch.arange(timeline.n_steps, device=ends.device)


def reverse(timeline: Timeline, flip: Int64[Tensor, "step"]) -> Timeline:
    """The same samples with their steps reversed, as whole samples."""
    last = timeline.last.index_select(0, timeline.sample)
    following, is_last = torch.minimum(flip + 1, last), flip == last
    delta = timeline.delta.index_select(0, following).masked_fill(is_last, 0)
    marks = {name: mark.index_select(0, following) | is_last for name, mark in timeline.marks.items()}
    time = timeline.time.index_select(0, last) - timeline.time.index_select(0, flip)
    backwards = replace(timeline, time=time, delta=delta, marks=marks)
    vars(backwards)["lengths_list"] = timeline.lengths_list  # else a device would be waited for to read it
    return backwards
