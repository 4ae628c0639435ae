"""A network without a memory, to compare the others with."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core, CoreConfig, cores
from mmseq.random import Dropout
from mmseq.state import State


class MlpConfig(CoreConfig):
    """A network that sees one step at a time and remembers nothing, to compare the others with."""

    kind: Literal["mlp"]
    hidden: PositiveInt = Field(64, description="size of each layer, and so of the outputs")
    layers: PositiveInt = Field(2, description="number of layers")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each layer's outputs that is hidden, one mask a sample and layer",
    )


@cores.register(MlpConfig)
class MlpCore(Core):
    """x ← dropout(GELU(W x + b)) for each layer, at each step by itself.

    All that it knows of earlier steps is what carry and fusion tell: last values, ages, and the time since
    the previous step, which the fused inputs hold in typical step lengths.

    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units".
    """

    def __init__(self, width: int, *, hidden: int = 64, layers: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = nn.ModuleList(nn.Linear(*sizes) for sizes in pairwise([width, *[hidden] * layers]))
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in self.layers)

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        x = inputs
        for layer, dropout in zip(self.layers, self.dropout, strict=True):
            x = dropout(nn.functional.gelu(layer(x)), timeline)
        return x, {}
