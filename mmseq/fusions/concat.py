"""Modalities side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.fusions import Fusion, FusionConfig, Seen, fusions


class ConcatConfig(FusionConfig):
    kind: Literal["concat"]
    width: PositiveInt = Field(64, description="size of every encoder's output and of the fused step")


@fusions.register(ConcatConfig)
class ConcatFusion(Fusion):
    """W [x_1, presence_1, age_1, x_2, …, clock] + b."""

    def __init__(self, modalities: Sequence[str], n_clock: int, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.modalities = tuple(modalities)
        self.linear = nn.Linear(len(self.modalities) * (width + 2) + n_clock, width)

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        parts = [part for name in self.modalities for part in (seen[name].values, seen[name].marks())]
        return self.linear(torch.cat([*parts, clock], 1))
