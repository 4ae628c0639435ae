"""Quantiles of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, Labels, heads
from mmseq.heads.certainty import Range
from mmseq.heads.metrics import Average, Share
from mmseq.heads.numbers import Transform, inverse_softplus
from mmseq.heads.standardised import (
    StandardisedHead,
    StandardisedSpec,
    Transformed,
    by_column,
    score_columns,
    standard_facts,
    standard_labels,
)

_LEAST = 1e-6  # between two quantiles, in standard deviations: where labels are equal, softplus is not


def _in_order(quantiles: list[float]) -> list[float]:
    if not all(0 < q < 1 for q in quantiles) or any(a >= b for a, b in pairwise(quantiles)):
        came = ", ".join(f"{q:g}" for q in quantiles)
        raise ValueError(f"must be between 0 and 1, each above the one before; came {came}")
    return quantiles


class QuantileConfig(Transformed, ColumnsConfig):
    kind: Literal["quantile"]
    quantiles: Annotated[list[float], AfterValidator(_in_order)] = Field(
        [0.1, 0.5, 0.9], min_length=1, description="which ones, each between 0 and 1, in order"
    )


class QuantileSpec(StandardisedSpec):
    """Where the numbers lie.

    Attributes:
        quantiles: of each column's training labels z, those that are asked for.
    """

    quantiles: list[list[float]]


@heads.register(QuantileConfig)
class QuantileHead(StandardisedHead):
    """Predicts quantiles of z = (T(y) − mean) / std, which never cross; what it reads and tells is y.

    The quantile nearest to the median is a parameter; each next one outward lies softplus(s) further, with
    a parameter s of its own. A quantile of y is T⁻¹ of that of T(y). The loss is the mean over quantiles q
    of the pinball loss of z, max(q·d, (q − 1)·d) with d = z − ẑ.

    Source: Koenker and Bassett 1978, "Regression quantiles".

    Metrics in units of y, for each column: `pinball`, the mean over quantiles, and where the median is
    predicted its `mae`. Of two quantiles or more, `coverage`: the share of labels between the first and
    the last of them, both included, whose goal is the difference of the two; and for each column `width`,
    the mean distance between them.
    """

    Spec = QuantileSpec
    spec: QuantileSpec

    def __init__(
        self,
        spec: QuantileSpec,
        hidden: int,
        *,
        quantiles: list[float],
        transform: Transform | None = None,
    ) -> None:
        super().__init__(spec, transform=transform)
        self.quantiles = quantiles
        self.middle = min(range(len(quantiles)), key=lambda i: abs(quantiles[i] - 0.5))
        self.linear = nn.Linear(hidden, self.n_columns * len(quantiles))
        start = torch.tensor(spec.quantiles, dtype=torch.float64)
        gaps = inverse_softplus(start.diff(dim=1).clamp(min=_LEAST))
        start = torch.cat([gaps[:, : self.middle], start[:, self.middle, None], gaps[:, self.middle :]], 1)
        start = start.flatten().to(torch.get_default_dtype())
        self.register_buffer("start", start, persistent=False)
        with torch.no_grad():
            self.linear.bias.copy_(start)

    start: Tensor

    @classmethod
    def fit(cls, config: QuantileConfig, facts: Labels) -> QuantileSpec:
        known = standard_facts(facts, config.transform)
        found = [np.quantile(z, config.quantiles).tolist() for z in standard_labels(facts, config.transform)]
        return QuantileSpec(**known, quantiles=found)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def standardised(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float[Tensor, "query column quantile"]:
        """ẑ of each quantile, in order."""
        own = parameters.unflatten(1, (self.n_columns, len(self.quantiles)))
        middle = own[:, :, self.middle : self.middle + 1]
        below = nn.functional.softplus(own[:, :, : self.middle]).flip(2).cumsum(2).flip(2)
        above = nn.functional.softplus(own[:, :, self.middle + 1 :]).cumsum(2)
        return torch.cat([middle - below, middle, middle + above], 2)

    def pinball(self, difference: Float[Tensor, "... quantile"]) -> Float[Tensor, "..."]:
        """Mean over quantiles of max(q·d, (q − 1)·d)."""
        level = torch.tensor(self.quantiles, dtype=difference.dtype, device=difference.device)
        return (level * difference).maximum((level - 1) * difference).mean(-1)

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        truth = self.standardise(target.value).to(parameters.dtype)
        return self.pinball(truth[:, :, None] - self.standardised(parameters))

    def original(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float64[Tensor, "query column quantile"]:
        """ŷ of each quantile, in order."""
        return self.untransform(self.transformed(parameters))

    def transformed(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float64[Tensor, "query column quantile"]:
        """T(ŷ) of each quantile, in order."""
        mean, std = self.units(parameters)
        return mean[:, None] + std[:, None] * self.standardised(parameters.double())

    @property
    def tells_ranges(self) -> bool:
        return len(self.quantiles) > 1

    def ranges(self, parameters: Float[Tensor, "query parameter"], coverage: float) -> Range:
        """From the first quantile to the last, whatever the coverage."""
        told = self.transformed(parameters)
        return Range(told[:, :, 0], told[:, :, -1], torch.ones_like(told[:, :, 0]))

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        """`q_<quantile>` of each column."""
        told = self.original(parameters)
        return self.named({f"q_{q:g}": told[:, :, i] for i, q in enumerate(self.quantiles)})

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The quantiles of the training split."""
        return self.start.expand(len(target), -1)

    def metrics(self) -> dict[str, Metric]:
        metrics: dict[str, Metric] = {
            name: Average() for name in by_column(_errors(self.quantiles), self.spec.columns)
        }
        return metrics | ({"coverage": Share(self.n_columns)} if len(self.quantiles) > 1 else {})

    @classmethod
    def metric_names(cls, config: QuantileConfig) -> list[str]:
        coverage = ["coverage"] if len(config.quantiles) > 1 else []
        return [*by_column(_errors(config.quantiles), config.names), *coverage]

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        told, truth, observed = self.original(parameters), target.value.double(), target.observed
        errors = {"pinball": self.pinball(truth[:, :, None] - told)}
        if 0.5 in self.quantiles:
            errors["mae"] = (truth - told[:, :, self.middle]).abs()
        if len(self.quantiles) > 1:
            low, high = told[:, :, 0], told[:, :, -1]
            errors["width"] = high - low
            metrics["coverage"].update(((truth >= low) & (truth <= high)).double(), observed)
        for name, value in errors.items():
            score_columns(metrics, name, value, self.spec.columns, observed)


def _errors(quantiles: list[float]) -> list[str]:
    """What every column is scored by."""
    return ["pinball", *(["mae"] if 0.5 in quantiles else []), *(["width"] if len(quantiles) > 1 else [])]
