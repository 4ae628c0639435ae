"""Accuracy and F1 from counts of right and wrong answers."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric


class Accuracy(Metric):
    """Share of the observed cells that are right."""

    higher_is_better = True

    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, right: Bool[Tensor, "..."], observed: Bool[Tensor, "..."] | None = None) -> None:
        if observed is None:
            observed = torch.ones_like(right)
        self.right += (right & observed).sum()
        self.count += observed.sum()

    def compute(self) -> Tensor:
        return self.right / self.count


class MacroRecall(Metric):
    """Mean over columns of TP / (TP + FN); a column that is never true is left out.

    Args:
        columns: how many classes there are.
    """

    higher_is_better = True

    true_positive: Tensor
    positive: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.add_state("true_positive", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("positive", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Bool[Tensor, "label column"], truth: Bool[Tensor, "label column"]) -> None:
        self.true_positive += (predicted & truth).sum(0)
        self.positive += truth.sum(0)

    def compute(self) -> Tensor:
        return (self.true_positive / self.positive).nanmean()


class MacroF1(Metric):
    """Mean over columns of F1 = 2 TP / (2 TP + FP + FN).

    A column that is neither true nor predicted anywhere is left out.

    Args:
        columns: how many classes or labels there are.
    """

    higher_is_better = True

    true_positive: Tensor
    wrong: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.add_state("true_positive", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("wrong", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Bool[Tensor, "label column"],
        truth: Bool[Tensor, "label column"],
        observed: Bool[Tensor, "label column"] | None = None,
    ) -> None:
        wrong = predicted ^ truth
        if observed is not None:
            predicted, wrong = predicted & observed, wrong & observed
        self.true_positive += (predicted & truth).sum(0)
        self.wrong += wrong.sum(0)

    def each(self) -> Float[Tensor, "column"]:
        """F1 of each column; NaN of one that is neither true nor predicted anywhere."""
        return 2 * self.true_positive / (2 * self.true_positive + self.wrong)

    def compute(self) -> Tensor:
        return self.each().nanmean()


class WeightedF1(MacroF1):
    """Mean over columns of F1, each weighed by how often it is true."""

    support: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__(columns)
        self.add_state("support", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Bool[Tensor, "label column"],
        truth: Bool[Tensor, "label column"],
        observed: Bool[Tensor, "label column"] | None = None,
    ) -> None:
        super().update(predicted, truth, observed)
        self.support += (truth if observed is None else truth & observed).sum(0)

    def compute(self) -> Tensor:
        return (self.each().nan_to_num(0) * self.support).sum() / self.support.sum()
