"""Every balancer keeps the contract, and the contract catches one that does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from mmseq.balancers import Balancer, FactorBalancer, Whole, balancers
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


class DrawsWeights(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, share) * (1 + 0.1 * torch.rand(()))


class ReturnsOneATask(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return torch.stack([weight * losses[task] for task, weight in self.tasks.items()])


class ReturnsDouble(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, share).double()


class FailsWithoutLabels(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, share) / torch.tensor(float(any(weights.values())))


class DividesByTasksWithLoss(FixedBalancer):
    """A mean: of the tasks whose loss is large in this micro-batch."""

    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        large = sum(float(loss.detach()) > 0.7 for loss in losses.values())
        return super().forward(losses, weights, share) / max(large, 1)


class ForgetsWhenSaved(FactorBalancer):
    reads = "losses"
    seen = 0.0

    def look(self, whole: Whole) -> None:
        self.seen += float(whole.losses.sum())
        self.factor.fill_(1 + self.seen)


class DividesByNorms(FactorBalancer):
    reads = "gradients"

    def look(self, whole: Whole) -> None:
        assert whole.gram is not None
        self.factor.copy_(1 / whole.gram.diagonal().sqrt())


class DividesByWhatIsLeft(FixedBalancer):
    """Of the step, beside this micro-batch: nothing where there is one only."""

    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return super().forward(losses, weights, share) / torch.tensor(1 - share)


class RewardsLoss(FixedBalancer):
    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        return -super().forward(losses, weights, share)


class PenalisesEachPart(UncertaintyBalancer):
    """A penalty that shows in gradients alone."""

    def forward(self, losses: Losses, weights: Weights, share: float) -> Tensor:
        penalty = self.raw.exp().sum()
        return super().forward(losses, weights, share) + penalty - penalty.detach()


class TrainsEveryTask(FactorBalancer):
    reads = "losses"

    def look(self, whole: Whole) -> None:
        self.weight.clamp_(min=0.1)


FAULTS: list[tuple[type[Balancer], str]] = [
    (DividesByWhatIsLeft, "outcome: the loss is one finite number"),
    (RewardsLoss, "outcome: less loss of a task is less loss of all"),
    (PenalisesEachPart, r"sums: .* add up to that of their global batch \(gradient of raw\)"),
    (TrainsEveryTask, "seeing: a task of weight 0 adds nothing, whatever was seen"),
    (DrawsWeights, "repeatable: the same call gives the same numbers"),
    (ReturnsOneATask, "outcome: "),
    (ReturnsDouble, "precision: float32 losses give a float32 loss"),
    (FailsWithoutLabels, "empty: without a label anywhere all is finite"),
    (DividesByTasksWithLoss, "sums: the losses of micro-batches add up"),
    (ForgetsWhenSaved, "saving: one that was saved and loaded goes on the same"),
    (DividesByNorms, "seeing: .* loss and gradients are finite"),
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
