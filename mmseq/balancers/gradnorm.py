"""Weights that bring the tasks' gradients to like norms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mmseq.balancers import BalancerConfig, FactorBalancer, Whole, balancers

_LEAST = 1e-3  # of a factor, and of a loss beside its first value


class GradnormConfig(BalancerConfig):
    kind: Literal["gradnorm"]
    alpha: float = Field(1.5, ge=0, description="how much faster a task is to learn that lags behind")
    lr: float = Field(0.025, gt=0, description="of the factors")


@balancers.register(GradnormConfig)
class GradnormBalancer(FactorBalancer):
    """Factors f that take a step down Σ_k |G_k − Ḡ·r_k^α| before each step of training.

    G_k = f_k·‖∇(w_k·L_k)‖ at the shared representation, Ḡ their mean, and r_k = (L_k / L_k(0)) / mean of
    these. What G_k aims at is held fixed; the factors are kept positive, and their sum at the number of
    tasks. The step is divided by Ḡ, so that `lr` does not depend on the losses' scale. L_k(0) is the first
    loss that the task had; one below a thousandth of it counts as that.

    Source: Chen, Badrinarayanan, Lee and Rabinovich 2018, "GradNorm: gradient normalization for adaptive loss
    balancing in deep multitask networks", equations 1 and 2.
    """

    reads = "gradients"

    first: Tensor

    def __init__(self, tasks: Mapping[str, float], *, alpha: float, lr: float) -> None:
        super().__init__(tasks)
        self.alpha, self.lr = alpha, lr
        self.register_buffer("first", torch.zeros(len(self.tasks), dtype=torch.float64))

    def look(self, whole: Whole) -> None:
        assert whole.gram is not None
        norm = self.weight * whole.gram.diagonal().clamp(min=0).sqrt()
        here = self.counts(whole) & (norm > 0)
        self.first.copy_(torch.where(here & (self.first <= 0) & (whole.losses > 0), whole.losses, self.first))
        here &= self.first > 0
        if not bool(torch.isfinite(norm + whole.losses).all()) or int(here.sum()) < 2:
            return
        ratio = (whole.losses / self.first.clamp(min=1e-300)).clamp(min=_LEAST)[here]
        scaled = (self.factor * norm)[here]
        mean = scaled.mean()
        aim = mean * (ratio / ratio.mean()) ** self.alpha
        moved = self.factor[here] - self.lr * (scaled - aim).sign() * norm[here] / mean
        moved = moved.clamp(min=_LEAST)
        self.factor[here] = moved * self.factor[here].sum() / moved.sum()
