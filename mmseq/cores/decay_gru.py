"""Gated recurrent unit whose state decays with the time between steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import CoreConfig, cores
from mmseq.cores.gru import GruCore
from mmseq.cores.layout import Layout
from mmseq.cores.recurrent import GatedOptions

_SCALES = (1e-3, 1e6)  # in the timeline's unit; of seconds, a millisecond to eleven days
_FIRST_WEIGHT = 0.03  # of what is a million scales old, two thirds are left


class DecayGruConfig(GatedOptions, CoreConfig):
    """Gated recurrent unit whose state decays towards zero with the time since the previous step."""

    kind: Literal["decay_gru"]


@cores.register(DecayGruConfig)
class DecayGruCore(GruCore):
    """h̃ = γ_t ⊙ h_{t-1};  h_t = GRU(x_t, h̃);  γ_t = exp(-max(0, w ⊙ log(1 + Δ_t / τ) + b)).

    Δ_t is the time since the sample's previous step, 0 at its first. Each unit of each layer learns its own
    w, b and time scale τ.

    The paper has w ⊙ Δ_t in place of the logarithm, which suits a Δ of about 1. Here Δ comes in whatever unit
    the timeline has, and gaps in one sample may differ by orders of magnitude. So the scales begin spread
    evenly in their logarithm, from 1e-3 to 1e6 of that unit: in any unit some of the units of a layer tell
    the gaps apart. As a power of 1 + Δ / τ, decay begins mild for all of them (w = 0.03), and it begins
    with a gradient (b = 0, so that what enters the maximum is positive at every Δ > 0).

    Source: Che et al. 2018, "Recurrent neural networks for multivariate time series with missing values",
    eq. 10 and 13; its inputs' decay is the numeric modality's `fill: decay`.
    """

    kernel = None  # cuDNN's GRU has no decay

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        chrono: int | None = None,
    ) -> None:
        super().__init__(width, hidden=hidden, layers=layers, dropout=dropout, chrono=chrono)
        low, high = (math.log(scale) for scale in _SCALES)
        spread = low + (high - low) * (torch.arange(hidden) + 0.5) / hidden
        self.log_scale = nn.Parameter(spread.repeat(layers, 1))
        self.decay_weight = nn.Parameter(torch.full((layers, hidden), _FIRST_WEIGHT))
        self.decay_bias = nn.Parameter(torch.zeros(layers, hidden))

    def _weights(self) -> list[list[Tensor]]:
        decays = zip(self.log_scale, self.decay_weight, self.decay_bias, strict=True)
        return [[*layer, *decay] for layer, decay in zip(super()._weights(), decays, strict=True)]

    def cell(
        self,
        x: Float[Tensor, "step width"],
        timeline: Timeline,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> Sequence[Float[Tensor, "step hidden"]]:
        decay = decay_rate(timeline.delta.to(x.dtype), *weights[4:]).neg().exp()
        return super().cell(x, timeline, [decay * state[0]], weights[:4])

    def layer(
        self,
        x: Float[Tensor, "slot width"],
        timeline: Timeline,
        where: Layout,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        delta = timeline.delta.to(x.dtype).index_select(0, where.step)
        rate = decay_rate(delta, *weights[4:])
        return super().layer(x, timeline, where, state, [*weights[:4], rate])


def decay_rate(
    delta: Float[Tensor, "row"],
    log_scale: Float[Tensor, "hidden"],
    weight: Float[Tensor, "hidden"],
    bias: Float[Tensor, "hidden"],
) -> Float[Tensor, "row hidden"]:
    """-log γ = max(0, w ⊙ log(1 + Δ / τ) + b)."""
    elapsed = torch.log1p(delta[:, None] * log_scale.neg().exp())
    return torch.addcmul(bias, weight, elapsed).relu()
