"""FAMO, against its formula."""

from __future__ import annotations

import torch

from mmseq.balancers import Whole
from mmseq.balancers.famo import FamoBalancer

THERE = torch.tensor([True, True])


def whole(*losses: float, there: torch.Tensor = THERE) -> Whole:
    return Whole(torch.tensor(losses, dtype=torch.float64), there)


def famo(**options: float) -> FamoBalancer:
    return FamoBalancer({"a": 1.0, "b": 1.0}, **{"lr": 0.1, "decay": 0.01, **options})


def test_factors_are_inverse_to_the_losses() -> None:
    """z = ½ each: f = c·z / L with Σ f = 1."""
    balancer = famo()
    balancer.look(whole(4.0, 1.0))
    torch.testing.assert_close(balancer.factor, torch.tensor([0.2, 0.8], dtype=torch.float64))


def test_one_step_of_the_logits_by_hand() -> None:
    """a falls from 4 to 2, b stays: δ = (log 2, 0), Jᵀδ = (¼, −¼)·log 2 at z = ½."""
    balancer = famo(decay=0.0)
    balancer.look(whole(4.0, 1.0))
    balancer.judge(whole(2.0, 1.0))
    step = 0.1 * torch.tensor(2.0, dtype=torch.float64).log() / 4
    torch.testing.assert_close(balancer.logits, torch.stack([-step, step]), atol=1e-8, rtol=1e-6)


def test_the_jacobian_is_that_of_softmax() -> None:
    balancer = famo(decay=0.3)
    balancer.logits.copy_(torch.tensor([0.7, -0.4]))
    start = balancer.logits.clone().requires_grad_()
    fall = torch.tensor([2.0, 5.0], dtype=torch.float64).log() - torch.tensor([1.0, 4.0]).double().log()
    (gradient,) = torch.autograd.grad(start.softmax(0) @ fall, start)
    balancer.look(whole(2.0, 5.0))
    balancer.judge(whole(1.0, 4.0))
    expected = start.detach() - 0.1 * (gradient + 0.3 * start.detach())
    torch.testing.assert_close(balancer.logits, expected, atol=1e-7, rtol=1e-6)


def test_losses_below_zero_are_lifted() -> None:
    balancer = famo()
    balancer.look(whole(-1.0, 1.0))
    balancer.look(whole(1.0, 2.0))
    torch.testing.assert_close(balancer.factor, torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_absent_tasks_keep_their_logit() -> None:
    balancer = famo()
    here = torch.tensor([True, False])
    balancer.look(whole(2.0, 0.0, there=here))
    assert balancer.factor.tolist() == [1, 1]
    balancer.judge(whole(1.0, 0.0, there=here))
    assert balancer.logits[1] == 0


def test_a_step_that_was_not_taken_moves_nothing() -> None:
    balancer = famo()
    balancer.judge(whole(1.0, 1.0))
    balancer.look(whole(float("nan"), 1.0))
    assert balancer.logits.tolist() == [0, 0] and balancer.factor.tolist() == [1, 1]
