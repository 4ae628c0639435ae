"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.cores import CoreConfig, cores
from mmseq.cores.gru_function import GruFunction
from mmseq.cores.layout import Layout
from mmseq.cores.recurrent import RecurrentCore, RecurrentOptions


class GruConfig(RecurrentOptions, CoreConfig):
    """Gated recurrent unit: one state, and gates that keep or renew it."""

    kind: Literal["gru"]


@cores.register(GruConfig)
class GruCore(RecurrentCore):
    """r, z = σ(W x_t + U h_{t-1} + b);  n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t-1} + c_n));
    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}.

    Source: Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder"; the reset gate
    after the product, as in cuDNN and PyTorch.
    """

    n_gates = 3

    def __init__(self, width: int, *, hidden: int = 64, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.GRU(width, hidden, layers), dropout)

    def cell(
        self, x: Float[Tensor, "row width"], state: list[Tensor], weights: list[Tensor]
    ) -> Sequence[Float[Tensor, "row hidden"]]:
        return [torch.gru_cell(x, state[0], *weights)]

    def layer(
        self, x: Float[Tensor, "slot width"], where: Layout, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        running, waiting = state[0].tensor_split([len(where.last)])
        y = GruFunction.apply(x, running, *weights, where)
        return y, [torch.cat([y.index_select(0, where.last), waiting])]

    def packed(
        self, x: Float[Tensor, "step width"], sizes: Tensor, state: list[Tensor], weights: list[Tensor]
    ) -> tuple[Float[Tensor, "step hidden"], Sequence[Float[Tensor, "layer row hidden"]]]:
        n_layers = len(weights) // 4
        y, *end = torch._VF.gru(
            x, sizes, state[0], weights, True, n_layers, 0.0, torch.is_grad_enabled(), False
        )
        return y, end
