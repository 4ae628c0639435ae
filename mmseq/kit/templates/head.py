"""Counts: 0, 1, 2, and so on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnConfig, Encoded, Head, Labels, Spec, heads
from mmseq.heads.labels import encode_numbers
from mmseq.heads.metrics import Average
from mmseq.sources import Reading


class MyKindConfig(ColumnConfig):
    kind: Literal["my_kind"]


class MyKindSpec(Spec):
    """What the training split tells.

    Attributes:
        mean: of its counts.
    """

    mean: float


@heads.register(MyKindConfig)
class MyKindHead(Head):
    """Predicts a rate λ = exp(w·h + b), and learns by half the Poisson deviance, λ - y + y·log(y / λ).

    That is the negative log likelihood but for a number that depends on y alone; it is 0 where λ = y.

    Metrics: `mae` of λ, and `deviance` as above.
    """

    Spec = MyKindSpec

    def __init__(self, spec: MyKindSpec, hidden: int) -> None:
        super().__init__()
        self.log_mean = math.log(max(spec.mean, 1e-3))
        self.linear = nn.Linear(hidden, 1)
        nn.init.zeros_(self.linear.bias)

    @classmethod
    def reading(cls, config: MyKindConfig) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    @classmethod
    def fit(cls, config: MyKindConfig, facts: Labels) -> MyKindSpec:
        values = facts.values[~np.isnan(facts.values)].astype(np.float64)
        if not len(values):
            raise facts.error("has no label in the training split")
        _check(facts)
        return MyKindSpec(mean=float(values.mean()))

    def encode(self, labels: Labels) -> Encoded:
        _check(labels)
        return encode_numbers(labels)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden) + self.log_mean

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        count = target.value.to(parameters.dtype)
        # Below e^20 the rate is a number that any count can be compared with.
        log_rate = parameters.clamp(max=20)
        return log_rate.exp() - count + torch.special.xlogy(count, count) - count * log_rate

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        return {"": parameters[:, 0].double().clamp(max=20).exp().cpu().numpy()}

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        return self.linear.weight.new_full((len(target), 1), self.log_mean)

    def metrics(self) -> dict[str, Metric]:
        return {"mae": Average(), "deviance": Average()}

    @classmethod
    def metric_names(cls, config: MyKindConfig) -> tuple[str, ...]:
        return "mae", "deviance"

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        rate = parameters.double().clamp(max=20).exp()
        metrics["mae"].update((rate - target.value).abs())
        metrics["deviance"].update(self.loss(parameters, target))

    @staticmethod
    def example_labels() -> Labels:
        """Counts of every size for the contract: without it, it would try zeros and ones."""
        values: Any = np.random.default_rng(0).poisson(3.0, (24, 1)).astype(np.float64)
        values[::7] = np.nan
        return Labels(("y",), values, np.zeros(0, np.int32), task="task")


def _check(labels: Labels) -> None:
    """Raises DataError for what is no count."""
    wrong = (labels.values < 0) | np.isinf(labels.values) | (labels.values % 1 > 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong[:, 0])[0])
        raise labels.refuse(f"labels must be 0, 1, 2, …; got {labels.values[row, 0]:g}; correct it", row)
