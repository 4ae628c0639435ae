"""A head under test, and labels to run it on."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.testing.compare import gradients
from mmseq.testing.head_examples import Example

HIDDEN = 32


class HeadTrial:
    """A fresh head in float64, hidden vectors, and labels for them."""

    def __init__(self, given: Example, seed: int) -> None:
        torch.manual_seed(seed)
        self.given = given
        self.head = copy.deepcopy(given.build(HIDDEN)).double()
        generator = torch.Generator().manual_seed(seed)
        self.target = given.target
        self.hidden = torch.randn(len(self.target), HIDDEN, generator=generator, dtype=torch.float64)

    def learn(self, parts: Sequence[tuple[Tensor, Target]]) -> dict[str, Tensor]:
        """Sums of loss and weight over parts, and the gradients of the loss."""
        hiddens = [hidden.clone().requires_grad_() for hidden, _ in parts]
        targets = [target for _, target in parts]
        losses = [self.head.loss_sum(self.predict(h, t), t) for h, t in zip(hiddens, targets, strict=True)]
        total = torch.stack(losses).sum()
        total.backward()
        weight = torch.stack([self.head.weights(target).double().sum() for target in targets]).sum()
        own = torch.cat([torch.zeros(0, HIDDEN) if h.grad is None else h.grad for h in hiddens])
        weights = {f"gradient of {name}": grad for name, grad in gradients(self.head).items()}
        return {
            "loss": total.detach(),
            "weight": weight,
            "gradient of hidden": own,
            **weights,
        }

    def predict(self, hidden: Tensor, target: Target) -> Tensor:
        """The parameters at some labels, compared with candidates where they have any."""
        return self.given.predict(self.head, hidden, target)

    def part(self, rows: slice | Tensor) -> tuple[Tensor, Target]:
        return self.hidden[rows], take(self.target, rows)


def take(target: Target, rows: slice | Tensor) -> Target:
    """Some of the labels."""
    return target.take(torch.arange(len(target))[rows])
