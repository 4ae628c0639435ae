"""Running averages, some slow and some fast."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.cores import CoreConfig, cores
from mmseq.cores.linear_recurrence import LinearLayer, LinearRecurrentCore
from mmseq.cores.recurrent import RecurrentOptions
from mmseq.cores.scan import Cut, scan


class MyKindConfig(RecurrentOptions, CoreConfig):
    kind: Literal["my_kind"]


class _Averages(LinearLayer):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, hidden)
        self.rate = nn.Parameter(torch.linspace(-2, 4, hidden))

    def forward(
        self,
        x: Float[Tensor, "step width"],
        elapsed: Float[Tensor, "step"],
        begin: list[Tensor] | None,
        where: Cut,
    ) -> tuple[Float[Tensor, "step hidden"], list[Tensor]]:
        keep = self.rate.sigmoid().repeat(len(x), 1)
        entering = (1 - keep) * self.enter(x).tanh()
        hidden = scan(keep, entering, None if begin is None else begin[0], where)
        return hidden, [hidden]


@cores.register(MyKindConfig)
class MyKindCore(LinearRecurrentCore):
    """h_t = a ⊙ h_{t-1} + (1 - a) ⊙ tanh(W x_t + b), with what each unit keeps, a = σ(r), learned.

    Units begin with memories of one step to some fifty. States, chunks and single steps are the base
    class's: it needs of a layer its outputs, and each part of its state after every step.
    """

    def __init__(self, width: int, *, hidden: int, layers: int, dropout: float) -> None:
        sizes = pairwise([width, *[hidden] * layers])
        super().__init__([_Averages(*size) for size in sizes], hidden, dropout)
