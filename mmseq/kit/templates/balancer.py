"""The weighted mean of the tasks that have labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mmseq.balancers import Balancer, BalancerConfig, balancers


class MyKindConfig(BalancerConfig):
    kind: Literal["my_kind"]


@balancers.register(MyKindConfig)
class MyKindBalancer(Balancer):
    """Σ w·L / Σ w over the tasks that have a label in the global batch, w being their configured weights.

    So a batch in which few tasks have labels is worth as much as one in which all have some.
    """

    def forward(
        self, losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float], share: float
    ) -> Float[Tensor, ""]:
        total = sum(weight for task, weight in self.tasks.items() if weights[task] > 0)
        # A task without labels stays on the graph, with a gradient of 0.
        parts = {task: weight * (weights[task] > 0) / (total or 1.0) for task, weight in self.tasks.items()}
        return torch.stack([part * losses[task] for task, part in parts.items()]).sum()
