"""Encoders: the events of one modality → a vector an event. They have no memory."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Events
from mmseq.registry import ComponentConfig, Registry

__all__ = ["Encoder", "EncoderConfig", "encoders"]


class EncoderConfig(ComponentConfig):
    """Base of every encoder's config."""


class Encoder(nn.Module):
    """A function (events) → (event, width). Constructor: `(spec, width, *, …options)`.

    Attributes:
        reads: the type of events that it can encode.
    """

    reads: ClassVar[type[Events]] = Events

    @abstractmethod
    def forward(self, events: Any) -> Float[Tensor, "event width"]:
        """Encodes each event by itself."""


encoders: Registry[Encoder] = Registry("encoders", EncoderConfig)
