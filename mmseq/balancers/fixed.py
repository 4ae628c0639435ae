"""The weights as configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmseq.balancers import Balancer, BalancerConfig, balancers


class FixedConfig(BalancerConfig):
    kind: Literal["fixed"]


@balancers.register(FixedConfig)
class FixedBalancer(Balancer):
    """Σ w·L over tasks, w being each task's configured weight and L its mean loss."""

    def forward(
        self, losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float], share: float
    ) -> Float[Tensor, ""]:
        return torch.stack([weight * losses[task] for task, weight in self.tasks.items()]).sum()
