"""Balancers: the tasks' losses → one loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn

from mmseq.registry import ComponentConfig, Registry

__all__ = ["Balancer", "BalancerConfig", "balancers"]


class BalancerConfig(ComponentConfig):
    """Base of every balancer's config."""


class Balancer(nn.Module):
    """A function (losses, weights, share) → loss. Constructor: `(tasks, *, …options)`.

    `tasks` gives each task's configured weight.
    """

    def __init__(self, tasks: Mapping[str, float]) -> None:
        super().__init__()
        self.tasks = dict(tasks)

    @abstractmethod
    def forward(
        self, losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float], share: float
    ) -> Float[Tensor, ""]:
        """Combines losses.

        Args:
            losses: by task, the loss sum of this micro-batch over the label weight of the global batch.
            weights: by task, that label weight; a task of weight 0 has no label anywhere in the global
                batch and must contribute nothing, constants included.
            share: the part of the optimizer step that this micro-batch stands for; what enters once per
                step (a constant such as log σ) is multiplied by it.
        """


balancers: Registry[Balancer] = Registry("balancers", BalancerConfig)
