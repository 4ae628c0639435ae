"""The gated recurrent unit."""

from __future__ import annotations

import torch

from mmseq.cores.gru import GruCore
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    core = GruCore(3, hidden=4).double()
    w, u, b, c = core.rnn.all_weights[0]
    torch.nn.init.normal_(b)
    torch.nn.init.normal_(c)
    x, h = torch.randn(5, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    outputs, _ = core(x, random_timeline([5], torch.Generator()))
    for t in range(5):
        a, m = (w @ x[t] + b).chunk(3), (u @ h + c).chunk(3)
        r, z = torch.sigmoid(a[0] + m[0]), torch.sigmoid(a[1] + m[1])
        n = torch.tanh(a[2] + r * m[2])
        h = (1 - z) * n + z * h
        assert torch.allclose(outputs[t], h, rtol=0, atol=1e-12)


def test_biases_start_at_zero() -> None:
    core = GruCore(3, hidden=4, layers=2)
    assert not any(bool(p.any()) for name, p in core.named_parameters() if "bias" in name)


def test_weights_without_gradient_and_inputs_without_gradient() -> None:
    core = GruCore(3, hidden=4)
    core.rnn.weight_hh_l0.requires_grad_(False)
    outputs, _ = core(torch.randn(6, 3), random_timeline([4, 2], torch.Generator()))
    outputs.sum().backward()
    assert core.rnn.weight_hh_l0.grad is None
    assert core.rnn.weight_ih_l0.grad is not None
