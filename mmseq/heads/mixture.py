"""Numbers with a distribution of any shape: a mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, Labels, heads
from mmseq.heads.certainty import Range
from mmseq.heads.gaussians import Gaussians, spread_out
from mmseq.heads.metrics import Average
from mmseq.heads.numbers import Transform, inverse_soft_clamp, soft_clamp
from mmseq.heads.standardised import (
    StandardisedHead,
    StandardisedSpec,
    Transformed,
    by_column,
    crps_name,
    error_names,
    score_columns,
    standard_facts,
    standard_labels,
    suffixes,
)
from mmseq.random import Draws


class MixtureConfig(Transformed, ColumnsConfig):
    kind: Literal["mixture"]
    components: PositiveInt = Field(5, description="Gaussians of each number")


class MixtureSpec(StandardisedSpec):
    """Where the numbers lie.

    Attributes:
        centres: of each column's training labels z, sorted and cut into as many parts as there are
            components, the mean of each part.
        widths: their standard deviations.
    """

    centres: list[list[float]]
    widths: list[list[float]]


@heads.register(MixtureConfig)
class MixtureHead(StandardisedHead):
    """Mixture density of z = (T(y) − mean) / std; what it reads and tells is y.

    p(z) = Σ_k π_k N(z; μ_k, σ_k²), of each column alone, with π = softmax and log σ = 4·tanh(s/4), so that
    σ stays within [0.018, 55]. The loss is −log p(z). Under log1p, y + 1 is a mixture of log-normals.

    Source: Bishop 1994, "Mixture density networks".

    A prediction is the median of y, and `mean`: under log1p the mean of the log-normals, which a few large
    numbers carry. Metrics: `mae` of the median, `rmse` and `r2` of the mean, under log1p `r2_log1p` of the
    median; `nll` of y; `crps` of y, or under log1p `crps_log1p` of log(1 + y).
    """

    Spec = MixtureSpec
    spec: MixtureSpec

    def __init__(
        self,
        spec: MixtureSpec,
        hidden: int,
        *,
        components: int,
        transform: Transform | None = None,
    ) -> None:
        super().__init__(spec, transform=transform)
        self.components = components
        self.linear = nn.Linear(hidden, self.n_columns * 3 * components)
        centre = torch.tensor(spec.centres, dtype=torch.float64)
        raw = inverse_soft_clamp(torch.tensor(spec.widths, dtype=torch.float64).log())
        start = torch.stack([torch.zeros_like(centre), centre, raw], 1).flatten()
        self.register_buffer("start", start.to(torch.get_default_dtype()), persistent=False)
        with torch.no_grad():
            self.linear.bias.copy_(self.start)

    start: Tensor

    @classmethod
    def fit(cls, config: MixtureConfig, facts: Labels) -> MixtureSpec:
        known = standard_facts(facts, config.transform)
        found = [spread_out(z, config.components) for z in standard_labels(facts, config.transform)]
        return MixtureSpec(**known, centres=[c for c, _ in found], widths=[w for _, w in found])

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def standardised(self, parameters: Float[Tensor, "query parameter"]) -> Gaussians:
        """The distribution of z."""
        own = parameters.unflatten(1, (self.n_columns, 3, self.components))
        return Gaussians(own[:, :, 0].log_softmax(-1), own[:, :, 1], soft_clamp(own[:, :, 2]).exp())

    def distribution(self, parameters: Float[Tensor, "query parameter"]) -> Gaussians:
        """The distribution of T(y)."""
        mean, std = self.units(parameters)
        return self.standardised(parameters.double()).moved(mean[:, None], std[:, None])

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        truth = self.standardise(target.value).to(parameters.dtype)
        return -self.standardised(parameters).log_density(truth)

    def mean_of(self, distribution: Gaussians) -> Float64[Tensor, "query column"]:
        """The mean of y; infinity where it is beyond float64."""
        return distribution.mean_of_exp().sub(1) if self.transform else distribution.mean_of()

    @property
    def tells_ranges(self) -> bool:
        return True

    def ranges(self, parameters: Float[Tensor, "query parameter"], coverage: float) -> Range:
        """Between the quantiles that leave as much below as above."""
        distribution = self.distribution(parameters)
        low, high = (distribution.quantile((1 + side * coverage) / 2) for side in (-1, 1))
        return Range(low, high, torch.ones_like(low))

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        distribution = self.distribution(parameters)
        median = self.untransform(distribution.quantile(0.5))
        return self.named({"": median, "mean": self.mean_of(distribution)})

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """A component, then y = T⁻¹ of a number from it, for each column alone.

        With a temperature t components have weights in proportion to π^(1/t), and scales t·σ.
        """
        distribution = self.distribution(parameters)
        drawn = self.untransform(distribution.draw(draws, temperature=temperature))
        return dict(zip(self.numbers(), drawn.T.tolist(), strict=True))

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """A Gaussian of each part of the training split's sorted labels; the mean is exact."""
        return self.start.expand(len(target), -1)

    def metrics(self) -> dict[str, Metric]:
        crps = crps_name(self.transform)
        of_crps: dict[str, Metric] = {f"{crps}{name}": Average() for name in suffixes(self.spec.columns)}
        return {**self.error_metrics(), "nll": Average(self.n_columns), **of_crps}

    @classmethod
    def metric_names(cls, config: MixtureConfig) -> list[str]:
        crps = by_column([crps_name(config.transform)], config.names)
        return [*error_names(config.names, config.transform), "nll", *crps]

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        distribution = self.distribution(parameters)
        self.score_errors(metrics, target, median=distribution.quantile(0.5), mean=self.mean_of(distribution))
        truth = self.transform_labels(target.value)
        nll = self.log_jacobian(target.value) - self.standardised(parameters.double()).log_density(
            self.standardise(target.value)
        )
        metrics["nll"].update(nll, target.observed)
        crps = distribution.crps(truth)
        score_columns(metrics, crps_name(self.transform), crps, self.spec.columns, target.observed)
