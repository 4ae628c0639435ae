"""Texts as bags of tokens."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import TextEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders

_PRIME = 1_000_003


class BagConfig(EncoderConfig):
    kind: Literal["bag"]
    pairs: PositiveInt | None = Field(
        None, description="also vectors of so many buckets for pairs of neighbouring tokens; null: none"
    )


@encoders.register(BagConfig)
class BagEncoder(Encoder):
    """The mean of a learned vector a token, and of one a pair of neighbours; zeros where there is no token.

    Pairs are hashed into buckets, several into one. A token that training never had begins with zeros.

    Source: Joulin, Grave, Bojanowski and Mikolov 2017, "Bag of tricks for efficient text classification".
    """

    reads = TextEvents

    def __init__(self, spec: Any, width: int, *, pairs: int | None) -> None:
        super().__init__()
        self.n_pairs, self.size = pairs, spec.size
        self.table = nn.Embedding(spec.size + (pairs or 0), width)
        nn.init.normal_(self.table.weight, std=0.5)
        if spec.unknown is not None:
            with torch.no_grad():
                self.table.weight[spec.unknown] = 0

    def forward(self, events: TextEvents) -> Float[Tensor, "event width"]:
        token, event = events.token, events.event
        if self.n_pairs is not None:
            pair, of = self._pairs(token, event)
            token, event = torch.cat([token, pair]), torch.cat([event, of])
        vectors = self.table(token)
        total = vectors.new_zeros(len(events), vectors.shape[1]).index_add(0, event, vectors)
        count = torch.zeros(len(events), dtype=vectors.dtype, device=event.device)
        count = count.index_add(0, event, torch.ones_like(event, dtype=vectors.dtype))
        return total / count.clamp(min=1)[:, None]

    def _pairs(
        self, token: Int64[Tensor, "token"], event: Int64[Tensor, "token"]
    ) -> tuple[Int64[Tensor, "pair"], Int64[Tensor, "pair"]]:
        """The bucket of each pair of neighbours within an event, and the event."""
        assert self.n_pairs is not None
        inside = event[1:] == event[:-1]
        bucket = (token[:-1] * _PRIME + token[1:]) % self.n_pairs + self.size
        return bucket[inside], event[1:][inside]
