"""Numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import ColumnsConfig, Encoded, Head, Labels, Spec, heads
from mmseq.heads.labels import encode_numbers
from mmseq.heads.metrics import R2, Average, Rmse
from mmseq.heads.numbers import LossName, Transform, check_numbers, pointwise_loss, soft_clamp, standard
from mmseq.random import Draws
from mmseq.sources import Reading

_FITTED = ("mean", "std")


class RegressionConfig(ColumnsConfig):
    kind: Literal["regression"]
    loss: LossName = Field(
        "squared", description="of the standardised number; gaussian predicts a mean and a scale"
    )
    transform: Transform | None = Field(
        None, description="log1p: learn log(1 + y) of a number above -1; null: learn y itself"
    )


class RegressionSpec(Spec):
    """Where the numbers lie, after the transform.

    Attributes:
        columns: their names.
        mean: of each column's training labels.
        std: their standard deviation; 1 for a column that never varies.
    """

    columns: list[str]
    mean: list[float]
    std: list[float]


@heads.register(RegressionConfig)
class RegressionHead(Head):
    """Predicts z = (T(y) − mean) / std, T being the transform; what it reads and tells is y.

    With d = z − ẑ the loss is d² (squared), |d| (absolute), ½d² up to |d| = 1 and |d| − ½ beyond
    (huber; Huber 1964), or ½(d/σ)² + log σ + ½log 2π (gaussian), where log σ = 4·tanh(s/4) for the
    second parameter s, so that σ stays within [0.018, 55] and the gradient never dies at a bound.

    A prediction is y = T⁻¹(mean + std·ẑ): with log1p under a squared or Gaussian loss, that is the
    median of y rather than its mean. `scale` is std·σ, in the units of T(y).

    Metrics in units of y, each the mean over columns: `mae`, `rmse`, `r2`; with log1p also `r2_log1p`;
    with the Gaussian loss also `nll` of y.
    """

    Spec = RegressionSpec

    def __init__(
        self,
        spec: RegressionSpec,
        hidden: int,
        *,
        loss: LossName = "squared",
        transform: Transform | None = None,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.loss_name = loss
        self.transform = transform
        self.linear = nn.Linear(hidden, len(spec.columns) * (2 if loss == "gaussian" else 1))
        nn.init.zeros_(self.linear.bias)
        for name in _FITTED:
            self.register_buffer(name, None, persistent=False)
        self._set_fitted()

    mean: Tensor
    std: Tensor

    def _set_fitted(self) -> None:
        for name in _FITTED:
            values, device = getattr(self.spec, name), self.linear.weight.device
            setattr(self, name, torch.tensor(values, dtype=torch.float64, device=device))

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> RegressionHead:
        """Moves and casts, but not what was fitted: labels may need all of its digits."""
        super()._apply(function, recurse)
        self._set_fitted()
        return self

    @classmethod
    def reading(cls, config: RegressionConfig) -> Reading:
        return Reading(config.table, config.time, numbers=config.names)

    @classmethod
    def fit(cls, config: RegressionConfig, facts: Labels) -> RegressionSpec:
        check_numbers(facts, config.transform)
        values = facts.values.astype(np.float64)
        values = np.log1p(values) if config.transform else values
        mean, std = zip(*(standard(facts, values, c) for c in range(len(facts.columns))), strict=True)
        return RegressionSpec(columns=list(facts.columns), mean=list(mean), std=list(std))

    def encode(self, labels: Labels) -> Encoded:
        check_numbers(labels, self.transform)
        return encode_numbers(labels)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def location(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """ẑ."""
        return parameters[:, : len(self.spec.columns)]

    def log_scale(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """log σ of the Gaussian."""
        return soft_clamp(parameters[:, len(self.spec.columns) :])

    def _facts(self, like: Tensor) -> tuple[Float[Tensor, "column"], Float[Tensor, "column"]]:
        """Mean and std, wherever the numbers are: decoding and scoring move to the CPU."""
        return self.mean.to(like.device), self.std.to(like.device)

    def standardise(self, value: Float[Tensor, "label column"]) -> Float[Tensor, "label column"]:
        """y → z, in float64: labels may be large and differ little."""
        mean, std = self._facts(value)
        value = value.double()
        return ((value.log1p() if self.transform else value) - mean) / std

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        difference = self.standardise(target.value).to(parameters.dtype) - self.location(parameters)
        if self.loss_name == "gaussian":
            log_scale = self.log_scale(parameters)
            return (difference * (-log_scale).exp()).square() / 2 + log_scale + np.log(2 * np.pi) / 2
        return pointwise_loss(self.loss_name, difference)

    def transformed(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """T(ŷ), in float64: an exponential of float32 overflows soon."""
        mean, std = self._facts(parameters)
        return mean + std * self.location(parameters).double()

    def original(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """ŷ."""
        transformed = self.transformed(parameters)
        return transformed.expm1() if self.transform else transformed

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        point = self.original(parameters).cpu().numpy()
        columns = {}
        for c, name in enumerate(self.spec.columns):
            columns[name] = point[:, c]
            if self.loss_name == "gaussian":
                scale = self.log_scale(parameters)[:, c].exp() * self.spec.std[c]
                columns[f"{name}.scale"] = scale.cpu().numpy()
        if len(self.spec.columns) > 1:
            return columns
        return {
            key.removeprefix(self.spec.columns[0]).removeprefix("."): value for key, value in columns.items()
        }

    def gaussian(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> tuple[Float64[Tensor, "query column"], Float64[Tensor, "query column"]]:
        """Mean and standard deviation of T(y).

        Raises:
            ConfigError: the loss has no distribution.
        """
        if self.loss_name != "gaussian":
            raise ConfigError(
                f"regression: a number can be drawn where its loss is 'gaussian'; it is {self.loss_name!r}, "
                "which learns no spread; set loss: gaussian, and train again"
            )
        scale = self._facts(parameters)[1] * self.log_scale(parameters).double().exp()
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
        drawn = mean + temperature * scale * noise
        drawn = drawn.expm1() if self.transform else drawn
        names = [""] if len(self.spec.columns) == 1 else self.spec.columns
        return dict(zip(names, drawn.T.tolist(), strict=True))

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The mean of the training split, or the last value where there is one; its scale is the std."""
        location = self.linear.weight.new_zeros(len(target), len(self.spec.columns))
        if target.previous is not None:
            previous = self.standardise(target.previous).to(location)
            location = torch.where(previous.isnan(), location, previous)
        return (
            torch.cat([location, torch.zeros_like(location)], 1) if self.loss_name == "gaussian" else location
        )

    def metrics(self) -> dict[str, Metric]:
        n_columns = len(self.spec.columns)
        origin = np.expm1(self.spec.mean).tolist() if self.transform else self.spec.mean
        metrics: dict[str, Metric] = {}
        for name in _error_names(self.spec.columns):
            metrics[f"mae{name}"], metrics[f"rmse{name}"] = Average(), Rmse()
        metrics["r2"] = R2(origin)
        if self.transform:
            metrics[f"r2_{self.transform}"] = R2(self.spec.mean)
        if self.loss_name == "gaussian":
            metrics["nll"] = Average(n_columns)
        return metrics

    @classmethod
    def metric_names(cls, config: RegressionConfig) -> list[str]:
        errors = [f"{metric}{name}" for name in _error_names(config.names) for metric in ("mae", "rmse")]
        transformed = [f"r2_{config.transform}"] if config.transform else []
        return [*errors, "r2", *transformed, *(["nll"] if config.loss == "gaussian" else [])]

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        observed, truth, point = target.observed, target.value.double(), self.original(parameters)
        for c, name in enumerate(_error_names(self.spec.columns)):
            seen = None if observed is None else observed[:, c : c + 1]
            error = (truth - point)[:, c : c + 1]
            metrics[f"mae{name}"].update(error.abs(), seen)
            metrics[f"rmse{name}"].update(error.square(), seen)
        metrics["r2"].update(point, truth, observed)
        if self.transform:
            metrics[f"r2_{self.transform}"].update(self.transformed(parameters), truth.log1p(), observed)
        if self.loss_name == "gaussian":
            # Density of y, not of z: the change of variables divides by std, and by 1 + y under log1p.
            jacobian = self._facts(parameters)[1].log() + (truth.log1p() if self.transform else 0)
            metrics["nll"].update(self.loss(parameters, target).double() + jacobian, observed)


def _error_names(columns: Sequence[str]) -> list[str]:
    """What errors are called by: each column has its own, for they may be in different units."""
    return [""] if len(columns) == 1 else [f".{name}" for name in columns]
