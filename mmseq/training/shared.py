"""The shared representation, where the tasks' gradients meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mmseq.balancers import Balancer, Whole
from mmseq.processes import Processes


class SharedGradients:
    """Takes the core's outputs apart from what reads them, so that each task's gradient can be looked at.

    One pass through the trunk serves all tasks: their gradients end at its outputs, and what is made of
    them goes back through it once.
    """

    def __init__(self) -> None:
        self.hidden = self.leaf = torch.zeros(0)
        self.gradients: list[Float[Tensor, "step hidden"]] = []

    def __call__(self, hidden: Float[Tensor, "step hidden"]) -> Float[Tensor, "step hidden"]:
        """What readouts and heads are to read in place of the core's outputs."""
        self.hidden = hidden
        self.leaf = hidden.detach().requires_grad_()
        return self.leaf

    def gram(self, losses: Sequence[Float[Tensor, ""]]) -> Float64[Tensor, "task task"]:
        """Inner products of the losses' gradients over this process's steps; those of several add up."""
        self.gradients = []
        for loss in losses:
            (gradient,) = torch.autograd.grad(loss, self.leaf, retain_graph=True, allow_unused=True)
            self.gradients.append(torch.zeros_like(self.leaf) if gradient is None else gradient)
        flat = torch.stack([gradient.flatten() for gradient in self.gradients]).double()
        return flat @ flat.T

    def loss(self, balancer: Balancer, losses: Mapping[str, Float[Tensor, ""]]) -> Float[Tensor, ""]:
        """What heads learn from, Σ w·L; its gradient at the core's outputs is Σ factor · gradient."""
        heads = torch.stack([weight * losses[task] for task, weight in balancer.tasks.items()]).sum()
        combined = torch.zeros_like(self.leaf)
        for factor, gradient in zip(balancer.told().values(), self.gradients, strict=True):
            combined += factor * gradient
        product = (self.hidden * combined).sum()
        return heads + (product - product.detach())


def whole_batch(
    balancer: Balancer,
    processes: Processes,
    losses: Mapping[str, Float[Tensor, ""]],
    weights: Mapping[str, float],
    shared: SharedGradients | None,
    key: int,
) -> Whole:
    """What all processes' parts of a global batch come to.

    Args:
        balancer: that will see it.
        processes: that train together.
        losses: by task, this part of its mean loss.
        weights: by task, the label weight of the whole.
        shared: where the gradients are; None: they are not asked for.
        key: of the step.
    """
    each = [losses[task] for task in balancer.tasks]
    mine = [torch.stack([loss.detach().double() for loss in each]).cpu()]
    if shared is not None:
        mine.append(shared.gram(each).cpu().flatten())
    found, n = processes.total(torch.cat(mine)), len(each)
    there = torch.tensor([weights[task] > 0 for task in balancer.tasks])
    return Whole(found[:n], there, None if shared is None else found[n:].view(n, n), key)


def cosines(balancer: Balancer, whole: Whole | None) -> dict[tuple[str, str], float]:
    """Of each pair of tasks with labels, the cosine of their gradients; nothing where nobody looked."""
    if whole is None or whole.gram is None:
        return {}
    norm = whole.gram.diagonal().clamp(min=0).sqrt()
    found = whole.gram / (norm[:, None] * norm)
    pairs = combinations(enumerate(balancer.tasks), 2)
    return {(one, other): float(found[i, j]) for (i, one), (j, other) in pairs if norm[i] > 0 and norm[j] > 0}
