"""Convolutions over the samples of a window."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import WaveformEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class ConvConfig(EncoderConfig):
    kind: Literal["conv"]
    channels: PositiveInt = Field(32, description="of each layer")
    layers: PositiveInt = Field(4, description="number of convolutions")
    kernel: PositiveInt = Field(9, description="samples that each looks at")
    stride: PositiveInt = Field(4, description="each leaves one of so many places")


@encoders.register(ConvConfig)
class ConvEncoder(Encoder):
    """Strided convolutions with GELU along a window, the mean over what is left of it, then a linear map.

    No layer looks at other events. Beyond both ends of a window there are zeros, its mean in training.
    """

    reads = WaveformEvents

    def __init__(
        self, spec: Any, width: int, *, channels: int, layers: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        sizes = [spec.shape[1], *[channels] * layers]
        blocks = [
            nn.Sequential(nn.Conv1d(a, b, kernel, stride, padding=kernel // 2), nn.GELU())
            for a, b in pairwise(sizes)
        ]
        self.convolutions = nn.Sequential(*blocks)
        self.linear = nn.Linear(channels, width)

    def forward(self, events: WaveformEvents) -> Float[Tensor, "event width"]:
        return self.linear(self.convolutions(events.values.transpose(1, 2)).mean(2))
