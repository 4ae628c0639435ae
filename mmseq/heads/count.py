"""Counts: whole numbers from 0 on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, Head, Labels, Spec, heads
from mmseq.heads.certainty import PredictsRanges, Range
from mmseq.heads.counts import (
    crps_poisson,
    deviance,
    draw_poisson,
    draw_rate,
    log_likelihood,
    mode,
)
from mmseq.heads.labels import told_names
from mmseq.heads.metrics import Average, Rmse
from mmseq.heads.numbers import check_counts, soft_clamp
from mmseq.heads.standardised import by_column, score_columns
from mmseq.random import Draws

Distribution = Literal["poisson", "negative_binomial"]

_WIDEST = 16.0  # a rate is within a factor of e^16, nine million, of the mean of the training split
_LEAST_DISPERSION = 0.01  # nearer to 0 it is a Poisson distribution


class CountConfig(ColumnsConfig):
    kind: Literal["count"]
    distribution: Distribution = Field(
        "poisson", description="negative_binomial also learns how much more counts vary than a Poisson's"
    )


class CountSpec(Spec):
    """How large the training split's counts are.

    Attributes:
        columns: their names.
        rate: mean of each column; half a count in all where there is none.
        dispersion: α of a negative binomial with their mean and variance, at least 0.01.
    """

    columns: list[str]
    rate: list[float]
    dispersion: list[float]


@heads.register(CountConfig)
class CountHead(PredictsRanges, Head):
    """Poisson or negative binomial (NB2) distribution of each column, with a log link.

    The mean is μ = rate · exp(16·tanh(η/16)). Poisson: −log p = μ − y·log μ + log y!. NB2 has the variance
    μ + αμ², α = dispersion · exp(4·tanh(s/4)); with r = 1/α, −log p = log Γ(r) + log y! − log Γ(y + r)
    + r·log(1 + αμ) − y·log(αμ / (1 + αμ)).

    Source: Cameron and Trivedi 2013, "Regression analysis of count data", sections 3.2 and 3.3.

    A prediction is the mean μ; of NB2 also `dispersion`, α. Metrics: `mae` and `rmse` of the mean, for each
    column; `nll`; `deviance`, twice what the log likelihood lacks of that of μ = y; of Poisson `crps`.
    """

    Spec = CountSpec

    def __init__(self, spec: CountSpec, hidden: int, *, distribution: Distribution = "poisson") -> None:
        super().__init__()
        self.spec = spec
        self.is_wide = distribution == "negative_binomial"
        self.n_columns = len(spec.columns)
        self.linear = nn.Linear(hidden, self.n_columns * (2 if self.is_wide else 1))
        nn.init.zeros_(self.linear.bias)

    @classmethod
    def check(cls, labels: Labels) -> None:
        check_counts(labels)

    @classmethod
    def fit(cls, config: CountConfig, facts: Labels) -> CountSpec:
        cls.check(facts)
        rates, dispersions = [], []
        for name, column in zip(facts.columns, facts.values.astype(np.float64).T, strict=True):
            seen = column[~np.isnan(column)]
            if not len(seen):
                raise facts.lacking(name)
            rate = max(float(seen.mean()), 0.5 / len(seen))
            excess = float(seen.var() - rate) / rate**2
            rates.append(rate)
            dispersions.append(max(excess, _LEAST_DISPERSION))
        return CountSpec(columns=list(facts.columns), rate=rates, dispersion=dispersions)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def log_mean(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query column"]:
        """log μ, in float64: the logarithms of large factorials differ by little."""
        own = soft_clamp(parameters[:, : self.n_columns].double(), _WIDEST)
        return own + _fact(self.spec.rate, own).log()

    def log_dispersion(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float64[Tensor, "query column"] | None:
        """log α; None of Poisson."""
        if not self.is_wide:
            return None
        own = soft_clamp(parameters[:, self.n_columns :].double())
        return own + _fact(self.spec.dispersion, own).log()

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        log_mean, log_dispersion = self.log_mean(parameters), self.log_dispersion(parameters)
        return -log_likelihood(target.value.double(), log_mean, log_dispersion).to(parameters.dtype)

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        told = {"": self.log_mean(parameters).exp()}
        log_dispersion = self.log_dispersion(parameters)
        if log_dispersion is not None:
            told["dispersion"] = log_dispersion.exp()
        return self.named(told)

    def numbers(self) -> list[str]:
        return told_names(self.spec.columns)

    @property
    def tells_ranges(self) -> bool:
        return False

    def ranges(self, parameters: Float[Tensor, "query parameter"], coverage: float) -> Range:
        """The mean, widened in proportion to the distribution's standard deviation, √(μ + αμ²)."""
        mean, log_dispersion = self.log_mean(parameters).exp(), self.log_dispersion(parameters)
        variance = mean if log_dispersion is None else mean + log_dispersion.exp() * mean.square()
        return Range(mean, mean, variance.sqrt())

    def transform_labels(self, value: Float[Tensor, "label column"]) -> Float64[Tensor, "label column"]:
        return value.double()

    def untransform(self, value: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
        return value.clamp(min=0)

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """A count of each column alone; a temperature t takes it to mode + t·(count − mode), rounded."""
        log_mean, log_dispersion = self.log_mean(parameters), self.log_dispersion(parameters)
        rate = log_mean.exp()
        if log_dispersion is not None:
            rate = draw_rate(log_mean, log_dispersion, draws.uniform(self.n_columns))
        drawn = draw_poisson(rate, draws.uniform(self.n_columns))
        middle = mode(log_mean, log_dispersion)
        drawn = (middle + temperature * (drawn - middle)).round().long()
        return dict(zip(self.numbers(), drawn.T.tolist(), strict=True))

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The mean, and the dispersion, of the training split."""
        return self.linear.bias.new_zeros(len(target), self.linear.out_features)

    def metrics(self) -> dict[str, Metric]:
        metrics: dict[str, Metric] = {
            name: Rmse() if name.startswith("rmse") else Average()
            for name in by_column(_errors(self.is_wide), self.spec.columns)
        }
        return metrics | {"nll": Average(self.n_columns), "deviance": Average(self.n_columns)}

    @classmethod
    def metric_names(cls, config: CountConfig) -> list[str]:
        is_wide = config.distribution == "negative_binomial"
        return [*by_column(_errors(is_wide), config.names), "nll", "deviance"]

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        log_mean, log_dispersion = self.log_mean(parameters), self.log_dispersion(parameters)
        # What is not observed may hold anything, which a count's factorial has no value of.
        truth = target.value.double()
        truth = truth if target.observed is None else torch.where(target.observed, truth, 0)
        error = truth - log_mean.exp()
        errors = {"mae": error.abs(), "rmse": error.square()}
        if not self.is_wide:
            errors["crps"] = crps_poisson(truth, log_mean.exp())
        for name, value in errors.items():
            score_columns(metrics, name, value, self.spec.columns, target.observed)
        metrics["nll"].update(-log_likelihood(truth, log_mean, log_dispersion), target.observed)
        metrics["deviance"].update(deviance(truth, log_mean, log_dispersion), target.observed)

    @staticmethod
    def example_labels() -> Labels:
        """Counts for the contract: many of none, and some large ones."""
        rng = np.random.default_rng(0)
        values = rng.poisson(40, (24, 2)) * (rng.random((24, 2)) < 0.4).astype(np.float64)
        values[:2] = [[0, 40], [40, 0]]
        values[rng.random(values.shape) < 0.2] = np.nan
        return Labels(("y1", "y2"), values, np.zeros(0, np.int32), (), "task")


def _errors(is_wide: bool) -> list[str]:
    """What every column is scored by, in counts."""
    return ["mae", "rmse", *([] if is_wide else ["crps"])]


def _fact(values: list[float], like: Tensor) -> Float64[Tensor, "column"]:
    return torch.tensor(values, dtype=torch.float64, device=like.device)
