"""Modalities weighed against each other, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.fusions import Fusion, FusionConfig, Seen, fusions
from mmseq.parts import Parts


class GatedConfig(FusionConfig):
    kind: Literal["gated"]
    width: PositiveInt = Field(64, description="size of every encoder's output and of the fused step")


@fusions.register(GatedConfig)
class GatedFusion(Fusion):
    """Σ_m σ(g_m) ⊙ tanh(W_m [x_m, presence_m, age_m] + b_m) + W_c clock, with g = W_g [all of them, clock].

    Source: the gated multimodal unit of Arevalo et al. 2017 ("Gated multimodal units for information
    fusion"), with one gate per modality and feature, and told of presence, age and time.
    """

    values: Parts[nn.Linear]

    def __init__(self, modalities: Sequence[str], n_clock: int, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.modalities = tuple(modalities)
        n = len(self.modalities)
        self.values = Parts({name: nn.Linear(width + 2, width) for name in self.modalities})
        self.gate = nn.Linear(n * (width + 2) + n_clock, n * width)
        self.clock = nn.Linear(n_clock, width, bias=False)

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        parts = [part for name in self.modalities for part in (seen[name].values, seen[name].marks())]
        inputs = torch.cat([*parts, clock], 1)
        gates = self.gate(inputs).sigmoid().chunk(len(self.modalities), 1)
        fused, size = self.clock(clock), self.width + 2
        for i, name in enumerate(self.modalities):
            x = inputs[:, i * size : (i + 1) * size]
            fused = fused + gates[i] * self.values[name](x).tanh()
        return fused
