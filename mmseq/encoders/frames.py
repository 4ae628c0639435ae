"""A small residual network over the pixels of a frame."""

from __future__ import annotations

from typing import Any, Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from mmseq.batch import ImageEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders

Maps = Float[Tensor, "event channel row column"]


class FramesConfig(EncoderConfig):
    kind: Literal["frames"]
    channels: PositiveInt = Field(16, description="of the first layer, which halves height and width")
    blocks: PositiveInt = Field(
        2, description="residual blocks; each halves height and width, and doubles the channels"
    )
    regions: PositiveInt = Field(
        2, description="rows and columns of regions that the mean is taken over; 1: where things are is lost"
    )


@encoders.register(FramesConfig)
class FramesEncoder(Encoder):
    """A convolution, residual blocks, the mean over each region, a linear map.

    Nothing is normalised over a batch, so that a frame is encoded alone as among others.
    """

    reads = ImageEvents

    def __init__(self, spec: Any, width: int, *, channels: int, blocks: int, regions: int) -> None:
        super().__init__()
        sizes = [channels << i for i in range(blocks + 1)]
        self.first = nn.Conv2d(spec.shape[2], channels, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(n, 2 * n) for n in sizes[:-1])
        self.regions = nn.AdaptiveAvgPool2d(regions)
        self.linear = nn.Linear(sizes[-1] * regions**2, width)

    def forward(self, events: ImageEvents) -> Float[Tensor, "event width"]:
        maps = self.first(events.values.permute(0, 3, 1, 2))
        for block in self.blocks:
            maps = block(maps)
        return self.linear(self.regions(functional.relu(maps)).flatten(1))


class Block(nn.Module):
    """Two convolutions beside one that lets everything pass; halves height and width.

    Source: He et al. 2016, "Identity mappings in deep residual networks", fig. 4e (normalise, ReLU,
    convolve); normalised over all channels and places of one frame (Wu and He 2018, "Group normalization",
    one group).

    Args:
        channels: in.
        wider: out.
    """

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.GroupNorm(1, channels), nn.GroupNorm(1, wider)])
        self.halve = nn.Conv2d(channels, wider, 3, stride=2, padding=1)
        self.refine = nn.Conv2d(wider, wider, 3, padding=1)
        self.skip = nn.Conv2d(channels, wider, 1, stride=2)

    def forward(self, maps: Maps) -> Float[Tensor, "event wider half_row half_column"]:
        before, between = self.norms
        inner = self.halve(functional.relu(before(maps)))
        return self.skip(maps) + self.refine(functional.relu(between(inner)))
