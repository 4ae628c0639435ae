from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class FourierConfig(EncoderConfig):
    kind: Literal["fourier"]
    n_frequencies: int = Field(8, ge=1, description="sines, and as many cosines, a number")


@encoders.register(FourierConfig)
class FourierEncoder(Encoder):
    """Sines and cosines of each number, for effects that rise and fall with it."""

    reads = NumericEvents

    def __init__(self, spec: Any, width: int, *, n_frequencies: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(2 ** torch.linspace(-1, 3, n_frequencies))
        self.linear = nn.Linear(len(spec.columns) * (2 * n_frequencies + 1), width)

    def forward(self, events: NumericEvents) -> Tensor:
        angle = (events.values[..., None] * self.frequencies).flatten(1)
        return self.linear(torch.cat([angle.sin(), angle.cos(), events.observed.to(angle)], 1))
