"""The minimal gated recurrent unit."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from mmseq.cores import CoreConfig, cores
from mmseq.cores.linear_gated import GatedLayer, LinearGatedCore, LinearGatedOptions


class MinGruConfig(LinearGatedOptions, CoreConfig):
    """Minimal gated recurrent unit: gates that see inputs only, so that all steps run at once."""

    kind: Literal["min_gru"]


class _Layer(GatedLayer):
    n_projections = 2

    def _remember(self, bias: Float[Tensor, "hidden"]) -> None:
        self.project.bias.data[: len(bias)] = bias

    def gates(self, projected: Float[Tensor, "step projections"]) -> Float[Tensor, "step gates"]:
        return projected


@cores.register(MinGruConfig)
class MinGruCore(LinearGatedCore):
    """a_t = σ(W_f x_t + b_f - p log Δ_t);  h_t = a_t ⊙ h_{t-1} + (1 - a_t) ⊙ g(W_v x_t + b_v);
    g(v) = v + ½ if v ≥ 0 else σ(v).

    a is one minus the paper's update gate z. The time Δ since the previous step multiplies the odds that a
    unit is renewed by Δ^p, with a learned p for each unit; where memory is long, that is the rate at which
    it fades. A sample's very first step counts as Δ = 1. So another unit of time only moves b_f.

    Source: Feng et al. 2024, "Were RNNs all we needed?", section 3.1 and appendix B; without Δ.
    """

    layer = _Layer
