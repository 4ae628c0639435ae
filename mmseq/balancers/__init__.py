"""Balancers: the tasks' losses → one loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from mmseq.registry import ComponentConfig, Registry

__all__ = ["Balancer", "BalancerConfig", "FactorBalancer", "Whole", "balancers"]


class BalancerConfig(ComponentConfig):
    """Base of every balancer's config."""


@dataclass(frozen=True)
class Whole:
    """What there is to know of the global batch of a step, the same in every process.

    Attributes:
        losses: mean loss of each task, 0 where it has no label.
        there: which tasks have labels.
        gram: inner products of the gradients of the tasks' losses at the shared representation, which are the
            core's outputs; None where the balancer does not read them.
        key: differs from step to step, for random choices.
    """

    losses: Float64[Tensor, "task"]
    there: Bool[Tensor, "task"]
    gram: Float64[Tensor, "task task"] | None = None
    key: int = 0


class Balancer(nn.Module):
    """A function (losses, weights, share) → loss. Constructor: `(tasks, *, …options)`.

    `tasks` gives each task's configured weight. What it learns of training is in its state dict.

    Attributes:
        reads: what it wants to see of the global batch before its step: nothing, the tasks' losses, or also
            their gradients; see `look`.
        rereads: it wants to see the losses of the same batch after the step; see `judge`.
        watches: it wants to see the losses of every step that is taken; see `took`.
    """

    reads: ClassVar[Literal["nothing", "losses", "gradients"]] = "nothing"
    rereads: ClassVar[bool] = False
    watches: ClassVar[bool] = False

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

    def told(self) -> dict[str, float]:
        """By task, what its loss is multiplied by now, for the log; nothing where that never changes."""
        return {}

    def look(self, whole: Whole) -> None:
        """Sees what `reads` asks for, before each step."""

    def judge(self, whole: Whole) -> None:
        """Sees the losses of the same batch after the step was taken, where `rereads` asks for it."""

    def took(self, whole: Whole, epoch: int) -> None:
        """Sees the losses of a step that is taken, as they were before it, where it `watches`."""


class FactorBalancer(Balancer):
    """Σ w·f·L over tasks, w being each task's configured weight, and f a factor that a subclass sets.

    Where it reads gradients, the factors are those of the shared representation's gradient: heads learn from
    Σ w·L.

    Attributes:
        factor: of each task.
    """

    factor: Tensor
    weight: Tensor

    def __init__(self, tasks: Mapping[str, float]) -> None:
        super().__init__(tasks)
        self.register_buffer("factor", torch.ones(len(self.tasks), dtype=torch.float64))
        self.register_buffer(
            "weight", torch.tensor([*self.tasks.values()], dtype=torch.float64), persistent=False
        )

    def forward(
        self, losses: Mapping[str, Float[Tensor, ""]], weights: Mapping[str, float], share: float
    ) -> Float[Tensor, ""]:
        each = torch.stack([losses[task] for task in self.tasks])
        return (each * (self.weight * self.factor).to(each)).sum()

    def told(self) -> dict[str, float]:
        return dict(zip(self.tasks, (self.weight * self.factor).tolist(), strict=True))

    def counts(self, whole: Whole) -> Bool[Tensor, "task"]:
        """Tasks that take part: those with labels here, and a weight above 0."""
        return whole.there & (self.weight > 0)

    def _apply(self, function: object, recurse: bool = True) -> FactorBalancer:
        """Stays where it is, in float64: it holds a few numbers that are worked out on the host."""
        return self


balancers: Registry[Balancer] = Registry("balancers", BalancerConfig)
