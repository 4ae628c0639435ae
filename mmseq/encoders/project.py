"""A learned projection of an event's vector."""

from __future__ import annotations

import math
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import VectorEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class ProjectConfig(EncoderConfig):
    kind: Literal["project"]
    rank: PositiveInt | None = Field(
        None, description="project to so many numbers first, which a long vector needs fewer weights for"
    )


@encoders.register(ProjectConfig)
class ProjectEncoder(Encoder):
    """W x + b over all elements x of an array; with a rank, W = V U of that rank."""

    reads = VectorEvents

    def __init__(self, spec: Any, width: int, *, rank: int | None) -> None:
        super().__init__()
        size = math.prod(spec.shape)
        narrow = nn.Identity() if rank is None else nn.Linear(size, rank, bias=False)
        self.layers = nn.Sequential(narrow, nn.Linear(size if rank is None else rank, width))

    def forward(self, events: VectorEvents) -> Float[Tensor, "event width"]:
        return self.layers(events.values.flatten(1))
