"""Every balancer keeps the contract, and the contract catches one that does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mmseq.balancers import Balancer, balancers
from mmseq.balancers.fixed import FixedBalancer
from mmseq.balancers.uncertainty import UncertaintyBalancer
from mmseq.testing import check_kind
from mmseq.testing.balancers import check_balancer

Losses = Mapping[str, Tensor]
Weights = Mapping[str, float]


@pytest.mark.parametrize("kind", balancers.kinds())
def test_contract(kind: str) -> None:
    check_kind("balancers", kind)


class SkipsAbsentTasks(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return torch.stack([w * losses[t] for t, w in self.tasks.items() if weights[t] > 0]).sum()


class IgnoresWeights(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return torch.stack(list(losses.values())).sum()


class IgnoresShare(UncertaintyBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, 1.0) + 0.1 * self.raw.square().sum() + 1


class CountsAbsentTasks(UncertaintyBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, share) + share * sum(w == 0 for w in weights.values())


class HasIdleParameter(FixedBalancer):
    def __init__(self, tasks: Weights) -> None:
        super().__init__(tasks)
        self.idle = nn.Parameter(torch.ones(3))


FAULTS: list[tuple[type[Balancer], str]] = [
    (SkipsAbsentTasks, "every task's loss stays on the graph"),
    (IgnoresWeights, "a task of weight 0 adds nothing"),
    (IgnoresShare, "micro-batches add up"),
    (CountsAbsentTasks, "adds nothing, constants included"),
    (HasIdleParameter, "idle has none"),
]


@pytest.mark.parametrize(("balancer_class", "rule"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_planted_fault_is_caught(balancer_class: type[Balancer], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule) as caught:
        check_balancer(balancer_class)
    assert str(caught.value).startswith(f"{balancer_class.__name__}: ")
