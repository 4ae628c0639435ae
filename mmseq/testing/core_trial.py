"""A core under test, and ragged numbers to run it on."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.cores import Core
from mmseq.random import name_layers
from mmseq.state import State
from mmseq.testing.build import LENGTHS, random_timeline
from mmseq.testing.compare import gradients


class CoreTrial:
    """A fresh copy of the core in float64, and a ragged batch for it."""

    def __init__(self, core: Core, width: int, generator: torch.Generator, noise: int | None) -> None:
        self.core = copy.deepcopy(core).double()
        self.core.train(noise is not None)
        name_layers(self.core)
        self.generator = generator
        self.width = width
        self.timeline = random_timeline(
            LENGTHS * 5 + (4, 9, 2, 40), generator, continues=core.causal, noise=noise, marks=core.marks
        )
        self.inputs = self.randn(self.timeline.n_steps, width)
        self.loss = self.randn(self.timeline.n_steps, core.hidden)

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def run(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> tuple[Tensor, State]:
        with torch.no_grad():
            return self.core(inputs, timeline, state)

    def learn(self, parts: Sequence[tuple[Timeline, Tensor]], carry: bool) -> dict[str, Tensor]:
        """Outputs, and gradients of a fixed loss, of parts of the batch; carrying the state or not."""
        inputs = self.inputs.clone().requires_grad_()
        outputs = torch.zeros_like(self.loss)
        state: State | None = None
        for timeline, where in parts:
            y, after = self.core(inputs[where], timeline, state)
            outputs = outputs.index_copy(0, where, y)
            state = after if carry else None
        (outputs * self.loss).sum().backward()
        assert inputs.grad is not None
        weights = {f"gradient of {name}": grad for name, grad in gradients(self.core).items()}
        return {"outputs": outputs.detach(), "gradient of inputs": inputs.grad, **weights}

    def whole(self) -> list[tuple[Timeline, Tensor]]:
        return [(self.timeline, torch.arange(self.timeline.n_steps))]

    @property
    def trainable(self) -> bool:
        return any(parameter.requires_grad for parameter in self.core.parameters())
