"""The minimal gated recurrent unit."""

from __future__ import annotations

import pytest
import torch

from mmseq.cores.min_gru import MinGruConfig, MinGruCore
from mmseq.testing.build import random_timeline


def test_formula() -> None:
    torch.manual_seed(0)
    core = MinGruCore(3, hidden=4).double()
    layer = core.layers[0]
    torch.nn.init.normal_(layer.project.bias)
    torch.nn.init.normal_(layer.delta_power)
    (w_f, w_v), (b_f, b_v) = layer.project.weight.chunk(2), layer.project.bias.chunk(2)
    x, h = torch.randn(9, 3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
    timeline = random_timeline([9], torch.Generator())
    outputs, _ = core(x, timeline)
    for t in range(9):
        elapsed = timeline.delta[t].double().log() if t else 0.0
        a = torch.sigmoid(w_f @ x[t] + b_f - layer.delta_power * elapsed)
        v = w_v @ x[t] + b_v
        h = a * h + (1 - a) * torch.where(v >= 0, v + 0.5, v.sigmoid())
        assert torch.allclose(outputs[t], h, rtol=0, atol=1e-12)


def test_units_begin_with_memories_of_two_to_so_many_steps() -> None:
    keep, value = MinGruCore(3, hidden=500, chrono=50).layers[0].project.bias.detach().chunk(2)
    steps = 1 / (1 - keep.sigmoid())
    assert 2 <= float(steps.min()) < 3 and 49 < float(steps.max()) <= 50.01
    assert float(steps.mean()) == pytest.approx(26, abs=2)
    assert not value.any()
    assert not MinGruCore(3, chrono=None).layers[0].project.bias.any()


def test_memories_are_long_unless_chosen() -> None:
    assert MinGruConfig(kind="min_gru").chrono == 32
    with pytest.raises(ValueError, match="chrono"):
        MinGruConfig(kind="min_gru", chrono=1)
