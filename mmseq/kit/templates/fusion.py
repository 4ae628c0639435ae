"""Modalities added up, what is older with less weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.fusions import Fusion, FusionConfig, Seen, fusions


class MyKindConfig(FusionConfig):
    kind: Literal["my_kind"]
    width: PositiveInt = Field(64, description="size of every encoder's output and of the fused step")


@fusions.register(MyKindConfig)
class MyKindFusion(Fusion):
    """Σ_m exp(-λ_m · age_m) · x_m + W clock + b, with a learned λ_m = softplus(r_m) for each modality.

    A modality that was never seen adds nothing.
    """

    def __init__(self, modalities: Sequence[str], n_clock: int, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.modalities = tuple(modalities)
        self.rate = nn.Parameter(torch.zeros(len(self.modalities)))
        self.clock = nn.Linear(n_clock, width)

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        fused = self.clock(clock)
        for name, rate in zip(self.modalities, nn.functional.softplus(self.rate), strict=True):
            age = seen[name].age
            weight = (age >= 0) * (-rate * age.clamp(min=0)).exp()
            fused = fused + weight[:, None] * seen[name].values
        return fused
