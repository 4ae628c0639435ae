"""Σ_m σ(g_m) ⊙ tanh(W_m [x_m, presence_m, age_m] + b_m) + W_c clock, with g = W_g [all of them, clock]."""

from __future__ import annotations

import torch

from mmseq.fusions import Seen
from mmseq.fusions.gated import GatedFusion


def test_formula() -> None:
    torch.manual_seed(0)
    names = ("values", "b", "c")  # the first is a word that a torch module has as an attribute, too
    fusion = GatedFusion(names, 2, width=3)
    seen = {name: Seen(torch.randn(4, 3), torch.rand(4) < 0.5, torch.randn(4)) for name in names}
    clock = torch.randn(4, 2)
    inputs = [torch.cat([s.values, s.present[:, None].float(), s.age[:, None]], 1) for s in seen.values()]
    gates = torch.cat([*inputs, clock], 1) @ fusion.gate.weight.T + fusion.gate.bias
    expected = clock @ fusion.clock.weight.T
    for m, (name, x) in enumerate(zip(names, inputs, strict=True)):
        own = fusion.values[name]
        expected = expected + gates[:, 3 * m : 3 * m + 3].sigmoid() * (x @ own.weight.T + own.bias).tanh()
    torch.testing.assert_close(fusion(seen, clock), expected)
