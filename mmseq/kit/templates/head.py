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
    """

    @classmethod
    def check(cls, labels: Labels) -> None:
        check_counts(labels)

    @classmethod
    def constant(cls, config: MyKindConfig, values: Float64[np.ndarray, "_label"]) -> list[float]:
        return [math.log(max(float(values.mean()), 1e-3))]

    def predicted(self, parameters: Float[Tensor, "query column"]) -> Float[Tensor, "query column"]:
        return parameters.clamp(max=20).exp()  # e^20 is a number that any count can be compared with

    def loss(
        self, parameters: Float[Tensor, "label column"], target: Target
    ) -> Float[Tensor, "label column"]:
        log_rate, count = parameters.clamp(max=20), target.value.to(parameters)
        return log_rate.exp() - count + torch.special.xlogy(count, count) - count * log_rate

    @staticmethod
    def example_labels() -> Labels:
        """Counts of every size for the contract: without it, it would try zeros and ones."""
        values = np.random.default_rng(0).poisson(3.0, (24, 1)).astype(np.float64)
        values[::7] = np.nan
        return Labels(("y",), values, np.zeros(0, np.int32), task="task")
