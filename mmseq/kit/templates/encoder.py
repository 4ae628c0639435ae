"""How near each number is to some learned places."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class MyKindConfig(EncoderConfig):
    kind: Literal["my_kind"]
    n_places: PositiveInt = Field(8, description="places on the axis of the numbers")


@encoders.register(MyKindConfig)
class MyKindEncoder(Encoder):
    """W [exp(-(x - c)² / 2), observed] + b, with learned places c: for effects of some values alone.

    Numbers come normalised, so that places between -2 and 2 are where most of them are.
    """

    reads = NumericEvents

    def __init__(self, spec: Any, width: int, *, n_places: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.linspace(-2, 2, n_places))
        self.linear = nn.Linear(len(spec.columns) * (n_places + 1), width)

    def forward(self, events: NumericEvents) -> Float[Tensor, "event width"]:
        distance = events.values[..., None] - self.places
        near = (-distance.square() / 2).exp().flatten(1)
        return self.linear(torch.cat([near, events.observed.to(near)], 1))
