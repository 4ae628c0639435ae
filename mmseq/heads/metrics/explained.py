"""Share of explained variance."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric


class R2(Metric):
    """Mean over columns of R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)², ȳ being the mean of the labels scored.

    A column with fewer than two different labels has none and is left out.

    Args:
        origin: a number near the labels, by column; sums are kept of differences from it, for precision.
    """

    higher_is_better = True

    count: Tensor
    total: Tensor
    square: Tensor
    residual: Tensor

    def __init__(self, origin: list[float]) -> None:
        super().__init__()
        self.origin = torch.tensor(origin, dtype=torch.float64)
        for name in ("count", "total", "square", "residual"):
            self.add_state(name, torch.zeros(len(origin), dtype=torch.float64), dist_reduce_fx="sum")

    def update(
        self,
        predicted: Float[Tensor, "label column"],
        truth: Float[Tensor, "label column"],
        observed: Bool[Tensor, "label column"] | None = None,
    ) -> None:
        if observed is None:
            observed = torch.ones_like(truth, dtype=torch.bool)
        difference = torch.where(observed, truth.double() - self.origin, 0)
        residual = torch.where(observed, truth.double() - predicted.double(), 0)
        self.count += observed.sum(0)
        self.total += difference.sum(0)
        self.square += difference.square().sum(0)
        self.residual += residual.square().sum(0)

    def compute(self) -> Tensor:
        around_origin = self.square
        variation = around_origin - self.total.square() / self.count
        # What is left of equal labels is the rounding error of the difference.
        varies = (self.count > 1) & (variation > 1e-12 * around_origin)
        return torch.where(varies, 1 - self.residual / variation, torch.nan).nanmean()
