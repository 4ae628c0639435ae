"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import CoreConfig, cores
from mmseq.cores.gru_function import GruFunction
from mmseq.cores.initialise import initialise_chrono
from mmseq.cores.recurrent import GatedOptions, RecurrentCore


class GruConfig(GatedOptions, CoreConfig):
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
    function = GruFunction
    kernel: ClassVar[Callable[..., Any] | None] = staticmethod(torch._VF.gru)

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        chrono: int | None = None,
    ) -> None:
        rnn = nn.GRU(width, hidden, layers)
        super().__init__(rnn, dropout)
        if chrono is not None:
            initialise_chrono(rnn, chrono)

    def cell(
        self,
        x: Float[Tensor, "step width"],
        timeline: Timeline,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> Sequence[Float[Tensor, "step hidden"]]:
        return [torch.gru_cell(x, state[0], *weights)]
