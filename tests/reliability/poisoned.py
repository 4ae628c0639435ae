"""A plugin whose encoder and head give bad numbers where they are told to."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder
from mmseq.heads import heads
from mmseq.heads.regression import RegressionConfig, RegressionHead

BAD: dict[str, float] = {}
"""By place (output, gradient, loss), the number that comes out of it instead."""


class _Backwards(torch.autograd.Function):
    """The identity, whose gradient has a bad number."""

    @staticmethod
    def forward(context: Any, value: Tensor, bad: float) -> Tensor:
        context.bad = bad
        return value.clone()

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        gradient = gradient.clone()
        gradient[:1] = context.bad
        return gradient, None


class PoisonedConfig(LinearConfig):
    kind: Literal["poisoned"]


@encoders.register(PoisonedConfig)
class PoisonedEncoder(LinearEncoder):
    """Linear, but for the first event where that is to be bad."""

    def forward(self, events: Any) -> Tensor:
        encoded = super().forward(events)
        if "output" in BAD:
            encoded = torch.cat([torch.full_like(encoded[:1], BAD["output"]), encoded[1:]])
        return _Backwards.apply(encoded, BAD["gradient"]) if "gradient" in BAD else encoded


class PoisonedLevelConfig(RegressionConfig):
    kind: Literal["poisoned"]


@heads.register(PoisonedLevelConfig)
class PoisonedLevel(RegressionHead):
    """A number, but for the loss of the first label where that is to be bad."""

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        if "loss" in BAD:
            loss = torch.cat([torch.full_like(loss[:1], BAD["loss"]), loss[1:]])
        return loss
