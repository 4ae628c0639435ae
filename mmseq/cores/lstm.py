"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import CoreConfig, cores
from mmseq.cores.initialise import initialise_chrono, initialise_forget_bias
from mmseq.cores.layout import Layout
from mmseq.cores.recurrent import GatedOptions, RecurrentCore

_KEPT = 600_000
"""Units times slots of which oneDNN keeps less than 32 MiB for the backward pass: glibc has the kernel map
what is larger anew at each call, page by page."""
_WIDEST = 512
"""Units above which a call costs more, for its weights and their gradients, than those pages."""


class LstmConfig(GatedOptions, CoreConfig):
    """Long short-term memory: a gated cell beside the hidden state."""

    kind: Literal["lstm"]
    forget_bias: float | None = Field(
        None,
        description="the forget gate's first bias; higher remembers longer; none: 1, or what `chrono` draws",
    )

    @model_validator(mode="after")
    def _one_first_bias(self) -> LstmConfig:
        if self.forget_bias is not None and self.chrono is not None:
            raise ValueError(
                "`forget_bias` and `chrono` both set the forget gate's first bias "
                f"(got {self.forget_bias:g} and {self.chrono}); leave one of them out"
            )
        return self


@cores.register(LstmConfig)
class LstmCore(RecurrentCore):
    """i, f, o = σ(W x_t + U h_{t-1} + b);  g = tanh(W_g x_t + U_g h_{t-1} + b_g);
    c_t = f ⊙ c_{t-1} + i ⊙ g;  h_t = o ⊙ tanh(c_t).

    The fused kernel takes rows of equal length, so the samples run as a staircase: it is called anew on
    fewer rows, the state carried on, whenever a quarter of them have ended. It is called anew, too, before
    what it keeps for the backward pass outgrows what the C library reuses.

    Source: Hochreiter and Schmidhuber 1997; the forget gate from Gers, Schmidhuber and Cummins 2000.
    """

    parts = ("hidden", "cell")
    n_gates = 4
    keep = 0.75
    kernel = staticmethod(torch._VF.lstm)

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        chrono: int | None = None,
        forget_bias: float | None = None,
    ) -> None:
        rnn = nn.LSTM(width, hidden, layers)
        super().__init__(rnn, dropout)
        self.most = _KEPT // hidden if hidden <= _WIDEST else None
        if chrono is not None:
            initialise_chrono(rnn, chrono)
        else:
            initialise_forget_bias(rnn, 1.0 if forget_bias is None else forget_bias)

    def cell(
        self,
        x: Float[Tensor, "step width"],
        timeline: Timeline,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> Sequence[Float[Tensor, "step hidden"]]:
        return torch.lstm_cell(x, state, *weights)

    def layer(
        self,
        x: Float[Tensor, "slot width"],
        timeline: Timeline,
        where: Layout,
        state: list[Tensor],
        weights: list[Tensor],
    ) -> tuple[Float[Tensor, "slot hidden"], Sequence[Float[Tensor, "sample hidden"]]]:
        return self.by_blocks(x, where, state, weights)
