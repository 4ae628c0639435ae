"""The core without a memory."""

from __future__ import annotations

import torch
from torch import nn

from mmseq.cores.mlp import MlpCore
from mmseq.testing.build import LENGTHS, random_timeline


def test_each_step_by_itself() -> None:
    torch.manual_seed(0)
    core = MlpCore(5, hidden=6, layers=3).double()
    timeline = random_timeline(LENGTHS, torch.Generator().manual_seed(0), continues=True)
    inputs = torch.randn(timeline.n_steps, 5, dtype=torch.float64)
    network = nn.Sequential(*(part for layer in core.layers for part in (layer, nn.GELU())))
    outputs, state = core(inputs, timeline)
    assert torch.equal(outputs, network(inputs))
    assert state == {}
    alone, _ = core(inputs[7:8], random_timeline([1], torch.Generator()))
    assert torch.allclose(alone[0], outputs[7], rtol=0, atol=1e-12)
