"""Σ_m (x_m + W_m [presence_m, age_m]) + W_c clock + b."""

from __future__ import annotations

import torch

from mmseq.fusions import Seen
from mmseq.fusions.sum import SumFusion


def test_formula() -> None:
    torch.manual_seed(0)
    fusion = SumFusion(("a", "b"), 2, width=3)
    seen = {name: Seen(torch.randn(4, 3), torch.rand(4) < 0.5, torch.randn(4)) for name in ("a", "b")}
    clock = torch.randn(4, 2)
    expected = clock @ fusion.clock.weight.T + fusion.clock.bias
    for name, one in seen.items():
        marks = torch.stack([one.present.float(), one.age], 1)
        expected = expected + one.values + marks @ fusion.marks[name].weight.T
    torch.testing.assert_close(fusion(seen, clock), expected)
