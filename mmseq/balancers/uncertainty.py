"""Weights learned from each task's noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.balancers import Balancer, BalancerConfig, balancers

_BOUND = 3.0


class UncertaintyConfig(BalancerConfig):
    kind: Literal["uncertainty"]


@balancers.register(UncertaintyConfig)
class UncertaintyBalancer(Balancer):
    """Σ ½·exp(−s)·w·L + ½·s over tasks, with a learned log variance s = 3·tanh(r/3) each, r = 0 at first.

    L is a task's mean loss and w its configured weight. A task with w = 0, or without any label in the
    global batch, adds nothing; its s gets a gradient of 0. The bound, which keeps exp(−s) within
    [0.05, 20], is ours: a Gaussian likelihood may fall below 0, and s would then fall for ever.

    Source: Kendall, Gal and Cipolla 2018, "Multi-task learning using uncertainty to weigh losses",
    equation 7, with s = log σ².
    """

    def __init__(self, tasks: Mapping[str, float]) -> None:
        super().__init__(tasks)
        self.raw = nn.Parameter(torch.zeros(len(self.tasks)))

    @property
    def log_variance(self) -> Float[Tensor, "task"]:
        return _BOUND * (self.raw / _BOUND).tanh()

    def told(self) -> dict[str, float]:
        factor = (-self.log_variance.detach()).exp().tolist()
        return {task: f * w / 2 for f, (task, w) in zip(factor, self.tasks.items(), strict=True)}

    def forward(
        self, losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float], share: float
    ) -> Float[Tensor, ""]:
        terms = []
        for (task, weight), s in zip(self.tasks.items(), self.log_variance, strict=True):
            has_part = weight > 0 and weights[task] > 0
            terms.append((-s).exp() * weight * losses[task] / 2 + s * (share * has_part / 2))
        return torch.stack(terms).sum()
