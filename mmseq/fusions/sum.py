"""Modalities added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.fusions import Fusion, FusionConfig, Seen, fusions
from mmseq.parts import Parts


class SumConfig(FusionConfig):
    kind: Literal["sum"]
    width: PositiveInt = Field(64, description="size of every encoder's output and of the fused step")


@fusions.register(SumConfig)
class SumFusion(Fusion):
    """Σ_m (x_m + W_m [presence_m, age_m]) + W_c clock + b."""

    marks: Parts[nn.Linear]

    def __init__(self, modalities: Sequence[str], n_clock: int, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.marks = Parts({name: nn.Linear(2, width, bias=False) for name in modalities})
        self.clock = nn.Linear(n_clock, width)

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        fused = self.clock(clock)
        for name, marks in self.marks.items():
            fused = fused + seen[name].values + marks(seen[name].marks())
        return fused
