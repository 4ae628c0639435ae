"""The minimal long short-term memory."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from mmseq.cores import CoreConfig, cores
from mmseq.cores.linear_gated import GatedLayer, LinearGatedCore, LinearGatedOptions


class MinLstmConfig(LinearGatedOptions, CoreConfig):
    """Minimal long short-term memory: gates that see inputs only, so that all steps run at once."""

    kind: Literal["min_lstm"]


class _Layer(GatedLayer):
    n_projections = 3

    def _remember(self, bias: Float[Tensor, "hidden"]) -> None:
        forget, renew, _ = self.project.bias.data.chunk(3)
        forget.copy_(bias)
        renew.copy_(-bias)

    def gates(self, projected: Float[Tensor, "step projections"]) -> Float[Tensor, "step gates"]:
        forget, renew, candidate = projected.chunk(3, 1)
        # σ(f) / (σ(f) + σ(i)) is σ of this difference, without a division.
        return torch.cat([logsigmoid(forget) - logsigmoid(renew), candidate], 1)


@cores.register(MinLstmConfig)
class MinLstmCore(LinearGatedCore):
    """f, i = σ(W x_t + b);  a_t = f / (f + i Δ_t^p);  h_t = a_t ⊙ h_{t-1} + (1 - a_t) ⊙ g(W_v x_t + b_v);
    g(v) = v + ½ if v ≥ 0 else σ(v).

    The time Δ since the previous step multiplies the odds i / f that a unit is renewed by Δ^p, with a learned
    p for each unit; where memory is long, that is the rate at which it fades. A sample's very first step
    counts as Δ = 1. So another unit of time only moves b.

    Source: Feng et al. 2024, "Were RNNs all we needed?", section 3.2 and appendix B, with gates that add up
    to one; without Δ.
    """

    layer = _Layer
