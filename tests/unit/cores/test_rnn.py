"""The plain recurrent network."""

from __future__ import annotations

import torch

from mmseq.cores.rnn import RnnCore
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    core = RnnCore(3, hidden=4).double()
    w, u, b, c = core.rnn.all_weights[0]
    torch.nn.init.normal_(b)
    torch.nn.init.normal_(c)
    x, h = torch.randn(5, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    outputs, _ = core(x, random_timeline([5], torch.Generator()))
    for t in range(5):
        h = torch.tanh(w @ x[t] + b + u @ h + c)
        assert torch.allclose(outputs[t], h, rtol=0, atol=1e-12)


def test_biases_start_at_zero() -> None:
    core = RnnCore(3, hidden=4, layers=2)
    assert not any(bool(p.any()) for name, p in core.named_parameters() if "bias" in name)
