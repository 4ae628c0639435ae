"""The plain recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.cores import CoreConfig, cores
from mmseq.cores.layout import Layout
from mmseq.cores.recurrent import RecurrentCore, RecurrentOptions
from mmseq.cores.rnn_function import RnnFunction


class RnnConfig(RecurrentOptions, CoreConfig):
    """The plain recurrent network: one state, no gates."""

    kind: Literal["rnn"]


@cores.register(RnnConfig)
class RnnCore(RecurrentCore):
    """h_t = tanh(W x_t + b + U h_{t-1} + c).

    Source: Elman 1990, "Finding structure in time".
    """

    n_gates = 1

    def __init__(self, width: int, *, hidden: int = 64, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.RNN(width, hidden, layers), dropout)

    def cell(
        self, x: Float[Tensor, "row width"], state: list[Tensor], weights: list[Tensor]
    ) -> Sequence[Float[Tensor, "row hidden"]]:
        return [torch.rnn_tanh_cell(x, state[0], *weights)]

    def layer(
        self, x: Float[Tensor, "slot width"], where: Layout, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        running, waiting = state[0].tensor_split([len(where.last)])
        y = RnnFunction.apply(x, running, *weights, where)
        return y, [torch.cat([y.index_select(0, where.last), waiting])]

    def packed(
        self, x: Float[Tensor, "step width"], sizes: Tensor, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "step hidden"], Sequence[Float[Tensor, "layer row hidden"]]]:
        n_layers = len(weights) // 4
        y, *end = torch._VF.rnn_tanh(
            x, sizes, state[0], weights, True, n_layers, 0.0, torch.is_grad_enabled(), False
        )
        return y, end
