"""Dynamic weight averaging, against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from mmseq.balancers import Whole
from mmseq.balancers.dwa import DwaBalancer

TASKS = {"a": 2.0, "b": 1.0, "c": 0.0}


def whole(a: float, b: float, there: tuple[bool, bool, bool] = (True, True, True)) -> Whole:
    return Whole(torch.tensor([a, b, 9.0], dtype=torch.float64), torch.tensor(there))


def test_factors_follow_the_ratio_of_two_epochs() -> None:
    balancer = DwaBalancer(TASKS, temperature=2.0)
    for epoch, steps in enumerate([[(4.0, 1.0), (2.0, 1.0)], [(1.0, 1.0), (2.0, 0.8)]]):
        for a, b in steps:
            assert balancer.factor.tolist() == [1, 1, 1]
            balancer.took(whole(a, b), epoch)
    balancer.took(whole(5.0, 5.0), 2)
    ra, rb = math.exp(1.5 / 3.0 / 2), math.exp(0.9 / 1.0 / 2)
    expected = torch.tensor([2 * ra / (ra + rb), 2 * rb / (ra + rb), 1.0], dtype=torch.float64)
    torch.testing.assert_close(balancer.factor, expected)
    assert balancer.told() == pytest.approx({"a": 2 * float(expected[0]), "b": float(expected[1]), "c": 0.0})


def test_an_epoch_without_labels_keeps_the_ratio_at_one() -> None:
    balancer = DwaBalancer(TASKS, temperature=2.0)
    balancer.took(whole(4.0, 1.0), 0)
    balancer.took(whole(0.0, 0.5, (False, True, True)), 1)
    balancer.took(whole(1.0, 1.0), 2)
    ra, rb = math.exp(1 / 2), math.exp(0.5 / 2)
    assert math.isclose(float(balancer.factor[0]), 2 * ra / (ra + rb))


def test_it_goes_on_from_its_state() -> None:
    """Saved amid an epoch and restored, the factors of the next are the same."""
    first, second = (DwaBalancer(TASKS, temperature=2.0) for _ in range(2))
    for epoch in (0, 1):
        first.took(whole(3.0 - epoch, 1.0), epoch)
    second.load_state_dict(first.state_dict())
    for balancer in (first, second):
        balancer.took(whole(1.0, 1.5), 1)
        balancer.took(whole(1.0, 1.0), 2)
    assert torch.equal(first.factor, second.factor) and not torch.equal(first.factor, torch.ones(3))
