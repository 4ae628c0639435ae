from __future__ import annotations

import torch

from mmseq.balancers.fixed import FixedBalancer


def test_weighted_sum() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(5.0), "c": torch.tensor(7.0)}
    balancer = FixedBalancer({"a": 1.0, "b": 0.5, "c": 0.0})
    assert balancer(losses, {"a": 1.0, "b": 1.0, "c": 1.0}, 1.0).item() == 4.5
