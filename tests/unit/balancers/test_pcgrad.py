"""Projected gradients: what inner products say is what the vectors would give."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmseq.balancers import Whole
from mmseq.balancers.pcgrad import PcgradBalancer, projected
from mmseq.random import permutation


def surgery(gradients: Tensor, key: int) -> Tensor:
    """Yu et al. 2020, algorithm 1, on the vectors themselves."""
    total = torch.zeros_like(gradients[0])
    for i, gradient in enumerate(gradients):
        for j in permutation(len(gradients), key, i).tolist():
            other = gradients[j]
            if i != j and gradient @ other < 0:
                gradient = gradient - (gradient @ other) / (other @ other) * other
        total += gradient
    return total


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("key", range(5))
def test_factors_give_the_sum_of_the_projected(n: int, key: int) -> None:
    generator = torch.Generator().manual_seed(key)
    gradients = torch.randn(n, 4, generator=generator, dtype=torch.float64)
    factors = projected(gradients @ gradients.T, key)
    torch.testing.assert_close(factors @ gradients, surgery(gradients, key))


def test_without_a_conflict_it_is_the_sum() -> None:
    assert projected(torch.eye(3, dtype=torch.float64) + 0.5, 0).tolist() == [1, 1, 1]


def test_two_that_conflict() -> None:
    """g = (1, 0) and (−1, 1): each is freed of the other, by hand (0.5, 0.5) + (0, 1)."""
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0]], dtype=torch.float64)
    found = projected(gradients @ gradients.T, 0) @ gradients
    torch.testing.assert_close(found, torch.tensor([0.5, 1.5], dtype=torch.float64))


def test_weights_come_first_and_absent_tasks_have_no_part() -> None:
    balancer = PcgradBalancer({"a": 2.0, "b": 1.0, "c": 1.0})
    gradients = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    there = torch.tensor([True, True, False])
    balancer.look(Whole(torch.ones(3, dtype=torch.float64), there, gradients @ gradients.T, 3))
    scaled = gradients * torch.tensor([[2.0], [1.0], [1.0]], dtype=torch.float64)
    factors = torch.tensor([*balancer.told().values()], dtype=torch.float64)
    torch.testing.assert_close(factors @ gradients, surgery(scaled[:2], 3))


def test_numbers_that_are_not_finite_leave_the_sum() -> None:
    balancer = PcgradBalancer({"a": 1.0, "b": 1.0})
    gram = torch.full((2, 2), torch.nan, dtype=torch.float64)
    balancer.look(Whole(torch.ones(2, dtype=torch.float64), torch.tensor([True, True]), gram))
    assert balancer.factor.tolist() == [1, 1]
