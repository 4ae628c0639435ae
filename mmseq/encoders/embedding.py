"""A learned vector for each code."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import CategoryEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class EmbeddingConfig(EncoderConfig):
    kind: Literal["embedding"]


@encoders.register(EmbeddingConfig)
class EmbeddingEncoder(Encoder):
    """The sum over an event's columns of a vector per code.

    A missing code is the zero vector. The unknown code starts there, and learns where the training
    split has codes below `min_count`.
    """

    reads = CategoryEvents

    def __init__(self, spec: Any, width: int) -> None:
        super().__init__()
        sizes = [len(words) + 2 for words in spec.vocabularies]
        first = torch.tensor([0, *sizes]).cumsum(0)[:-1]
        self.register_buffer("first", first, persistent=False)
        self.table = nn.Embedding(sum(sizes), width)
        nn.init.normal_(self.table.weight, std=len(sizes) ** -0.5)
        with torch.no_grad():
            self.table.weight[first] = 0
            self.table.weight[first + 1] = 0

    first: Tensor

    def forward(self, events: CategoryEvents) -> Float[Tensor, "event width"]:
        vectors = self.table(events.code + self.first)
        return (vectors * (events.code > 0)[..., None]).sum(1)
