"""How recurrent weights begin.

Short runs depend on it: with these weights a textbook LSTM reaches in ten epochs what it misses, on
some seeds, from PyTorch's uniform ones. Where a dependency is longer than some ten steps, `chrono` decides.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


@torch.no_grad()
def initialise(rnn: nn.RNNBase, n_gates: int) -> None:
    """Glorot input weights, orthogonal recurrent weights (each gate on its own), zero biases.

    Source: Glorot and Bengio 2010, eq. 16; Saxe, McClelland and Ganguli 2014, for orthogonal weights.
    """
    for name, parameter in rnn.named_parameters():
        if name.startswith("bias"):
            nn.init.zeros_(parameter)
            continue
        draw = nn.init.orthogonal_ if name.startswith("weight_hh") else nn.init.xavier_uniform_
        for gate in parameter.chunk(n_gates):
            draw(gate)


@torch.no_grad()
def initialise_forget_bias(rnn: nn.LSTM, value: float) -> None:
    """The forget gate's total bias; PyTorch's LSTM adds two vectors, of which one stays zero.

    Source: Jozefowicz, Zaremba and Sutskever 2015, "An empirical exploration of recurrent network
    architectures", section 4.
    """
    for layer in range(rnn.num_layers):
        getattr(rnn, f"bias_ih_l{layer}").chunk(4)[1].fill_(value)


@torch.no_grad()
def initialise_chrono(rnn: nn.LSTM | nn.GRU, longest: int) -> None:
    """Units that remember for as long as dependencies last; see `chrono_bias`.

    The bias b is the forget gate's of an LSTM, whose input gate gets -b, and the update gate's z of a GRU in
    the form h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}.
    """
    for layer in range(rnn.num_layers):
        first, keep, *_ = getattr(rnn, f"bias_ih_l{layer}").chunk(4 if isinstance(rnn, nn.LSTM) else 3)
        keep.copy_(chrono_bias(len(keep), longest))
        if isinstance(rnn, nn.LSTM):
            first.copy_(-keep)


def chrono_bias(hidden: int, longest: int) -> Float[Tensor, "hidden"]:
    """Biases b ~ log U[1, longest - 1] of a gate that keeps the state: its time constants 1 / (1 - σ(b)) are
    drawn evenly from [2, longest].

    Source: Tallec and Ollivier 2018, "Can recurrent neural networks warp time?", section 2 and eq. 16.
    """
    return torch.empty(hidden).uniform_(1, longest - 1).log()
