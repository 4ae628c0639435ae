"""A small network over an event's numbers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders
from mmseq.encoders.linear import features


class MlpConfig(EncoderConfig):
    kind: Literal["mlp"]
    hidden: PositiveInt = Field(64, description="size of each hidden layer")
    layers: PositiveInt = Field(1, description="number of hidden layers")


@encoders.register(MlpConfig)
class MlpEncoder(Encoder):
    """Hidden layers with GELU over [value, observed, age] of all features, then a linear map."""

    reads = NumericEvents

    def __init__(self, spec: Any, width: int, *, hidden: int, layers: int) -> None:
        super().__init__()
        sizes = [3 * len(spec.columns), *[hidden] * layers]
        blocks = [nn.Sequential(nn.Linear(a, b), nn.GELU()) for a, b in pairwise(sizes)]
        self.network = nn.Sequential(*blocks, nn.Linear(hidden, width))

    def forward(self, events: NumericEvents) -> Float[Tensor, "event width"]:
        return self.network(features(events))
