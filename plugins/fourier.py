"""Sines and cosines of each number, for effects that rise and fall with it."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders
from mmseq.encoders.linear import features
from mmseq.modalities.numeric import NumericSpec


class FourierConfig(EncoderConfig):
    kind: Literal["fourier"]
    n_frequencies: PositiveInt = Field(8, description="sines, and as many cosines, of each number")


@encoders.register(FourierConfig)
class FourierEncoder(Encoder):
    """W [sin ωx, cos ωx, x, observed, age] + b, the frequencies ω learned."""

    reads = NumericEvents

    def __init__(self, spec: NumericSpec, width: int, *, n_frequencies: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(2 ** torch.linspace(-1, 3, n_frequencies))
        self.linear = nn.Linear(len(spec.columns) * (2 * n_frequencies + 3), width)

    def forward(self, events: NumericEvents) -> Float[Tensor, "event width"]:
        angle = (events.values[..., None] * self.frequencies).flatten(1)
        return self.linear(torch.cat([angle.sin(), angle.cos(), features(events)], 1))
