"""Weights by how fast each task's loss falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mmseq.balancers import BalancerConfig, FactorBalancer, Whole, balancers


class DwaConfig(BalancerConfig):
    kind: Literal["dwa"]
    temperature: float = Field(2.0, gt=0, description="higher: weights that differ less")


@balancers.register(DwaConfig)
class DwaBalancer(FactorBalancer):
    """f_k = K·exp(r_k / T) / Σ_i exp(r_i / T), r_k = L_k(e − 1) / L_k(e − 2), L_k(e) being the mean loss of
    an epoch.

    A task whose loss falls slowly gets a greater factor. In the first two epochs all are 1; a task without a
    label in one of the two keeps r = 1, as does one whose loss was not above 0.

    Source: Liu, Johns and Davison 2019, "End-to-end multi-task learning with attention", equation 7.
    """

    watches = True

    total: Tensor
    count: Tensor
    last: Tensor
    epoch: Tensor

    def __init__(self, tasks: Mapping[str, float], *, temperature: float) -> None:
        super().__init__(tasks)
        self.temperature = temperature
        n = len(self.tasks)
        for name in ("total", "count", "last"):
            self.register_buffer(name, torch.zeros(n, dtype=torch.float64))
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def took(self, whole: Whole, epoch: int) -> None:
        if epoch != int(self.epoch):
            self._end_epoch()
            self.epoch.fill_(epoch)
        self.total += torch.where(whole.there, whole.losses, 0)
        self.count += whole.there

    def _end_epoch(self) -> None:
        mean = torch.where(self.count > 0, self.total / self.count.clamp(min=1), 0)
        known = (mean > 0) & (self.last > 0)
        ratio = torch.where(known, mean / self.last.clamp(min=1e-300), 1.0)
        active = self.weight > 0
        exponent = torch.where(active, ratio / self.temperature, -torch.inf)
        if bool(active.any()):
            self.factor.copy_(torch.where(active, active.sum() * exponent.softmax(0), 1))
        self.last.copy_(mean)
        self.total.zero_()
        self.count.zero_()
