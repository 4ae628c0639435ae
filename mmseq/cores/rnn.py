"""The plain recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import CoreConfig, cores
from mmseq.cores.recurrent import RecurrentCore, RecurrentOptions
from mmseq.cores.rnn_function import RnnFunction


class RnnConfig(RecurrentOptions, CoreConfig):
    """The plain recurrent network: one state, no gates."""

    kind: Literal["rnn"]


@cores.register(RnnConfig)
class RnnCore(RecurrentCore):
    """h_t = tanh(W x_t + b + U h_{t-1} + c).

    Its recurrent weights begin orthogonal. The identity, which Le, Jaitly and Hinton 2015 take for ReLU, is
    one such matrix; beside tanh it reaches no further. For long dependencies take a core with gates.

    Source: Elman 1990, "Finding structure in time".
    """

    n_gates = 1
    function = RnnFunction
    kernel = staticmethod(torch._VF.rnn_tanh)

    def __init__(self, width: int, *, hidden: int = 64, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__(nn.RNN(width, hidden, layers), dropout)

    def cell(
        self,
        x: Float[Tensor, "step width"],
        timeline: Timeline,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> Sequence[Float[Tensor, "step hidden"]]:
        return [torch.rnn_tanh_cell(x, state[0], *weights)]
