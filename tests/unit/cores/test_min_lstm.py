"""The minimal long short-term memory."""

from __future__ import annotations

import torch

from mmseq.cores.min_lstm import MinLstmCore
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    torch.manual_seed(0)
    core = MinLstmCore(3, hidden=4).double()
    layer = core.layers[0]
    torch.nn.init.normal_(layer.project.bias)
    torch.nn.init.normal_(layer.delta_power)
    x, h = torch.randn(9, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    timeline = random_timeline([9], torch.Generator())
    outputs, _ = core(x, timeline)
    for t in range(9):
        delta = timeline.delta[t].double() if t else torch.ones((), dtype=torch.float64)
        f, i, v = layer.project(x[t]).chunk(3)
        f, i = f.sigmoid(), i.sigmoid() * delta**layer.delta_power
        h = (f * h + i * torch.where(v >= 0, v + 0.5, v.sigmoid())) / (f + i)
        assert torch.allclose(outputs[t], h, rtol=0, atol=1e-12)


def test_gates_that_are_both_shut_stay_finite() -> None:
    core = MinLstmCore(3, hidden=4)
    core.layers[0].project.bias.data[:8] = -200.0
    outputs, _ = core(torch.randn(5, 3), random_timeline([5], torch.Generator()))
    outputs.sum().backward()
    assert outputs.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in core.parameters())


def test_units_begin_with_memories_of_two_to_so_many_steps() -> None:
    forget, renew, value = MinLstmCore(3, hidden=500, chrono=50).layers[0].project.bias.detach().chunk(3)
    steps = 1 + forget.sigmoid() / renew.sigmoid()
    assert 2 <= float(steps.min()) < 3 and 49 < float(steps.max()) <= 50.01
    assert torch.equal(renew, -forget) and not value.any()
