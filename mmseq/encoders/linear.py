"""A linear map of an event's numbers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class LinearConfig(EncoderConfig):
    kind: Literal["linear"]


@encoders.register(LinearConfig)
class LinearEncoder(Encoder):
    """W [value, observed, age] + b over all features of an event."""

    reads = NumericEvents

    def __init__(self, spec: Any, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * len(spec.columns), width)

    def forward(self, events: NumericEvents) -> Float[Tensor, "event width"]:
        return self.linear(features(events))


def features(events: NumericEvents) -> Float[Tensor, "event number"]:
    """Value, observed and age of each feature, side by side: three numbers a feature."""
    age = torch.zeros_like(events.values) if events.age is None else events.age
    # Numbers of one kind: to put together several kinds costs more than to turn them first.
    return torch.cat([events.values, events.observed.to(events.values.dtype), age], 1)
