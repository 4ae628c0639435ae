"""A network with a memory of fixed length, to compare the others with."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core, CoreConfig, cores
from mmseq.random import Dropout
from mmseq.state import State, tensors


class CnnConfig(CoreConfig):
    """Causal dilated convolutions over the steps: outputs see 1 + (kernel - 1)(2^layers - 1) steps back."""

    kind: Literal["cnn"]
    hidden: PositiveInt = Field(64, description="size of each layer, and so of the outputs")
    layers: PositiveInt = Field(4, le=16, description="convolutions, each looking twice as far as the last")
    kernel: int = Field(3, ge=2, description="steps that a convolution looks at")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each layer's outputs that is hidden, one mask a sample and layer",
    )


@cores.register(CnnConfig)
class CnnCore(Core):
    """x ← x + dropout(ReLU(b + Σ_j W_j x_{t - j·2^l})) for each layer l, j from 0 to kernel - 1.

    Steps before a sample's first count as zeros. The first layer adds a learned projection of its inputs
    where they are not as wide as its outputs. Steps count alike whatever their distance; of time it knows
    what the fused inputs hold: the time since the previous step, in typical step lengths.

    State: for each layer, by number, its last (kernel - 1)·2^l inputs, (sample, time, width).

    Source: Bai, Kolter and Koltun 2018, "An empirical evaluation of generic convolutional and recurrent
    networks for sequence modeling", section 3; one convolution a block in place of two.
    """

    def __init__(
        self, width: int, *, hidden: int = 64, layers: int = 4, kernel: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.kernel = kernel
        widths = [width, *[hidden] * (layers - 1)]
        self.layers = nn.ModuleList(nn.Linear(kernel * size, hidden) for size in widths)
        self.skip = nn.Identity() if width == hidden else nn.Linear(width, hidden, bias=False)
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in widths)

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        if state is not None:
            self.check_state(state, [str(i) for i in range(len(self.layers))])
        x, after = inputs, {}
        for i, layer in enumerate(self.layers):
            n_past = (self.kernel - 1) * 2**i
            past = x.new_zeros(timeline.n_samples, n_past, x.shape[1])
            if state is not None:
                past = tensors(state)[str(i)].to(x.dtype)
            known = torch.cat([past.flatten(0, 1), x])
            seen = known.index_select(0, self._taps(timeline, 2**i, n_past).flatten())
            y = layer(seen.view(len(x), self.kernel * x.shape[1])).relu()
            skip = self.skip(x) if i == 0 else x
            x = skip + self.dropout[i](y, timeline)
            if timeline.continues:
                after[str(i)] = known.index_select(0, _newest(timeline, n_past).flatten()).view(past.shape)
        return x, after

    def _taps(self, timeline: Timeline, dilation: int, n_past: int) -> Int64[Tensor, "step tap"]:
        """Where the inputs of each step's convolution stand: in the past of all samples, or after it."""
        step = torch.arange(timeline.n_steps, device=timeline.starts.device)
        back = dilation * torch.arange(self.kernel, device=step.device)
        place = (step - timeline.starts[timeline.sample])[:, None] - back
        return _place(place, timeline.sample[:, None], timeline, n_past)


def _newest(timeline: Timeline, n_past: int) -> Int64[Tensor, "sample time"]:
    """Where the last inputs of each sample stand."""
    sample = torch.arange(timeline.n_samples, device=timeline.starts.device)[:, None]
    place = timeline.lengths[:, None] + torch.arange(-n_past, 0, device=sample.device)
    return _place(place, sample, timeline, n_past)


def _place(
    place: Int64[Tensor, "row column"], sample: Int64[Tensor, "row 1"], timeline: Timeline, n_past: int
) -> Int64[Tensor, "row column"]:
    """The row of a sample's step by its number in the call, negative in the past, below all the past."""
    here = timeline.n_samples * n_past + timeline.starts[sample] + place
    return torch.where(place < 0, (sample + 1) * n_past + place, here)
