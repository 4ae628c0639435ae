"""W [x_1, presence_1, age_1, x_2, …, clock] + b."""

from __future__ import annotations

import torch

from mmseq.fusions import Seen
from mmseq.fusions.concat import ConcatFusion


def test_formula() -> None:
    torch.manual_seed(0)
    fusion = ConcatFusion(("b", "a"), 2, width=3)
    seen = {name: Seen(torch.randn(4, 3), torch.rand(4) < 0.5, torch.randn(4)) for name in ("a", "b")}
    clock = torch.randn(4, 2)
    parts = []
    for name in ("b", "a"):  # in the order it was built with
        parts += [seen[name].values, seen[name].present[:, None].float(), seen[name].age[:, None]]
    expected = torch.cat([*parts, clock], 1) @ fusion.linear.weight.T + fusion.linear.bias
    torch.testing.assert_close(fusion(seen, clock), expected)
