"""Agreement of ranks beyond chance."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor
from torchmetrics import Metric


class Kappa(Metric):
    """1 − Σ w·O / Σ w·E with w = (i − j)²: O counts pairs of predicted and true rank, E those of chance.

    Chance has the same counts of predicted and of true ranks. NaN where all of both are one class.

    Source: Cohen 1968, "Weighted kappa".

    Args:
        n_classes: how many ranks there are.
    """

    higher_is_better = True

    counts: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        zeros = torch.zeros(n_classes, n_classes, dtype=torch.float64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, predicted: Int64[Tensor, "label"], truth: Int64[Tensor, "label"]) -> None:
        n_classes = len(self.counts)
        cell = predicted * n_classes + truth
        self.counts += torch.bincount(cell, minlength=n_classes**2).view(n_classes, n_classes)

    def compute(self) -> Tensor:
        rank = torch.arange(len(self.counts), dtype=torch.float64)
        weight = (rank[:, None] - rank).square()
        chance = self.counts.sum(1, keepdim=True) * self.counts.sum(0) / self.counts.sum()
        return 1 - (weight * self.counts).sum() / (weight * chance).sum()
