"""The mean of what a head computes for each label."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric


class Average(Metric):
    """Mean over the labels of each column, then over the columns that have any.

    Args:
        columns: how many there are.
    """

    higher_is_better = False

    total: Tensor
    count: Tensor

    def __init__(self, columns: int = 1) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(columns, dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self, value: Float[Tensor, "label column"], observed: Bool[Tensor, "label column"] | None = None
    ) -> None:
        if observed is None:
            observed = torch.ones_like(value, dtype=torch.bool)
        self.total += torch.where(observed, value.double(), 0).sum(0)
        self.count += observed.sum(0)

    def compute(self) -> Tensor:
        return (self.total / self.count).nanmean()


class Rmse(Average):
    """Root of the mean squared error of each column, then the mean over columns; takes squared errors."""

    higher_is_better = False

    def compute(self) -> Tensor:
        return (self.total / self.count).sqrt().nanmean()


class Credit(Average):
    """Mean of the credit that each answer gets, from 0 to 1; more is better."""

    higher_is_better = True


class Share(Average):
    """Mean of what is 0 or 1, of which neither more nor less is better by itself."""

    higher_is_better = None  # type: ignore[assignment]
