"""Numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import ColumnsConfig, Labels, heads
from mmseq.heads.certainty import Range
from mmseq.heads.metrics import Average
from mmseq.heads.numbers import LossName, Transform, pointwise_loss, soft_clamp
from mmseq.heads.scores import crps_gaussian
from mmseq.heads.standardised import (
    StandardisedHead,
    StandardisedSpec,
    Transformed,
    by_column,
    crps_name,
    error_names,
    score_columns,
    standard_facts,
    suffixes,
)
from mmseq.random import Draws


class RegressionConfig(Transformed, ColumnsConfig):
    kind: Literal["regression"]
    loss: LossName = Field(
        "squared", description="of the standardised number; gaussian predicts a mean and a scale"
    )


class RegressionSpec(StandardisedSpec):
    """Where the numbers lie."""


@heads.register(RegressionConfig)
class RegressionHead(StandardisedHead):
    """Predicts z = (T(y) − mean) / std, T being the transform; what it reads and tells is y.

    With d = z − ẑ the loss is d² (squared), |d| (absolute), ½d² up to |d| = 1 and |d| − ½ beyond
    (huber; Huber 1964), or ½(d/σ)² + log σ + ½log 2π (gaussian), where log σ = 4·tanh(s/4) for the
    second parameter s, so that σ stays within [0.018, 55] and the gradient never dies at a bound.

    A prediction is y = T⁻¹(mean + std·ẑ): with log1p under a squared or Gaussian loss, that is the
    median of y rather than its mean. `scale` is std·σ, in the units of T(y).

    Metrics in units of y, each the mean over columns: `mae`, `rmse`, `r2`; with log1p also `r2_log1p`;
    with the Gaussian loss also `nll` of y, and `crps` of y, or under log1p `crps_log1p` of log(1 + y).
    """

    Spec: ClassVar[type[RegressionSpec]] = RegressionSpec

    def __init__(
        self,
        spec: RegressionSpec,
        hidden: int,
        *,
        loss: LossName = "squared",
        transform: Transform | None = None,
    ) -> None:
        super().__init__(spec, transform=transform)
        self.loss_name = loss
        self.is_gaussian = loss == "gaussian"
        self.linear = nn.Linear(hidden, len(spec.columns) * (2 if self.is_gaussian else 1))
        nn.init.zeros_(self.linear.bias)

    @classmethod
    def fit(cls, config: RegressionConfig, facts: Labels) -> RegressionSpec:
        return RegressionSpec(**standard_facts(facts, config.transform))

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def location(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """ẑ."""
        return parameters[:, : self.n_columns]

    def log_scale(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """log σ of the Gaussian."""
        return soft_clamp(parameters[:, self.n_columns :])

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        difference = self.standardise(target.value).to(parameters.dtype) - self.location(parameters)
        if self.is_gaussian:
            log_scale = self.log_scale(parameters)
            return (difference * (-log_scale).exp()).square() / 2 + log_scale + np.log(2 * np.pi) / 2
        return pointwise_loss(self.loss_name, difference)

    def transformed(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query column"]:
        """T(ŷ)."""
        mean, std = self.units(parameters)
        return mean + std * self.location(parameters).double()

    def original(self, parameters: Float[Tensor, "query parameter"]) -> Float64[Tensor, "query column"]:
        """ŷ."""
        return self.untransform(self.transformed(parameters))

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        if not self.is_gaussian:
            return self.named({"": self.original(parameters)})
        mean, scale = self.gaussian(parameters)
        return self.named({"": self.untransform(mean), "scale": scale})

    @property
    def tells_ranges(self) -> bool:
        return self.is_gaussian

    def ranges(self, parameters: Float[Tensor, "query parameter"], coverage: float) -> Range:
        """The Gaussian's middle part; without one, the point, widened alike for all."""
        if not self.is_gaussian:
            point = self.transformed(parameters)
            return Range(point, point, torch.ones_like(point))
        mean, scale = self.gaussian(parameters)
        wide = scale * torch.special.ndtri(scale.new_tensor((1 + coverage) / 2))
        return Range(mean - wide, mean + wide, scale)

    def gaussian(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> tuple[Float64[Tensor, "query column"], Float64[Tensor, "query column"]]:
        """Mean and standard deviation of T(y).

        Raises:
            ConfigError: the loss has no distribution.
        """
        if not self.is_gaussian:
            raise ConfigError(
                f"regression: a number can be drawn where its loss is 'gaussian'; it is {self.loss_name!r}, "
                "which learns no spread; set loss: gaussian, and train again"
            )
        scale = self.units(parameters)[1] * self.log_scale(parameters).double().exp()
        return self.transformed(parameters), scale

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """y = T⁻¹(mean + temperature·scale·ε) with ε ~ N(0, 1), for each column alone."""
        mean, scale = self.gaussian(parameters)
        noise = torch.special.ndtri(draws.uniform(mean.shape[1]))
        drawn = self.untransform(mean + temperature * scale * noise)
        return dict(zip(self.numbers(), drawn.T.tolist(), strict=True))

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The mean of the training split, or the last value where there is one; its scale is the std."""
        location = self.linear.weight.new_zeros(len(target), self.n_columns)
        if target.previous is not None:
            previous = self.standardise(target.previous).to(location)
            location = torch.where(previous.isnan(), location, previous)
        return torch.cat([location, torch.zeros_like(location)], 1) if self.is_gaussian else location

    def metrics(self) -> dict[str, Metric]:
        metrics = self.error_metrics()
        if self.is_gaussian:
            metrics["nll"] = Average(self.n_columns)
            metrics |= {
                f"{crps_name(self.transform)}{name}": Average() for name in suffixes(self.spec.columns)
            }
        return metrics

    @classmethod
    def metric_names(cls, config: RegressionConfig) -> list[str]:
        of_spread = ["nll", *by_column([crps_name(config.transform)], config.names)]
        return [
            *error_names(config.names, config.transform),
            *(of_spread if config.loss == "gaussian" else []),
        ]

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        point = self.transformed(parameters)
        self.score_errors(metrics, target, median=point, mean=self.untransform(point))
        if self.is_gaussian:
            nll = self.loss(parameters, target).double() + self.log_jacobian(target.value)
            metrics["nll"].update(nll, target.observed)
            scale = self.gaussian(parameters)[1]
            crps = crps_gaussian(self.transform_labels(target.value) - point, scale)
            score_columns(metrics, crps_name(self.transform), crps, self.spec.columns, target.observed)
