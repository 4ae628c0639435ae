"""Counts: 0, 1, 2, and so on."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, Labels, heads
from mmseq.heads.linear import LinearHead
from mmseq.heads.numbers import check_counts


class MyKindConfig(ColumnsConfig):
    kind: Literal["my_kind"]


@heads.register(MyKindConfig)
class MyKindHead(LinearHead):
    """Predicts log λ = w·h + b, and learns by half the Poisson deviance, λ - y + y·log(y / λ).

    That is the negative log likelihood but for a number that depends on y alone; it is 0 where λ = y.

    Metrics: `mae` of λ, and `deviance` as above.
    """

    scored = ("mae", "deviance")

    @classmethod
    def check(cls, labels: Labels) -> None:
        check_counts(labels)

    @classmethod
    def constant(cls, config: MyKindConfig, values: Float64[np.ndarray, "_label"]) -> list[float]:
        return [math.log(max(float(values.mean()), 1e-3))]

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        count = target.value.to(parameters)
        # Below e^20 the rate is a number that any count can be compared with.
        log_rate = parameters.clamp(max=20)
        return log_rate.exp() - count + torch.special.xlogy(count, count) - count * log_rate

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        return self.named({"": parameters.double().clamp(max=20).exp()})

    def scores(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> dict[str, Float[Tensor, "label column"]]:
        error = parameters.double().clamp(max=20).exp() - target.value
        return {"mae": error.abs(), "deviance": self.loss(parameters, target)}

    @staticmethod
    def example_labels() -> Labels:
        """Counts of every size for the contract: without it, it would try zeros and ones."""
        values = np.random.default_rng(0).poisson(3.0, (24, 1)).astype(np.float64)
        values[::7] = np.nan
        return Labels(("y",), values, np.zeros(0, np.int32), task="task")
