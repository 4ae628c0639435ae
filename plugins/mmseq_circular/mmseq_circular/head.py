"""A head for numbers that come round again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnConfig, Encoded, Head, Labels, Spec, heads
from mmseq.heads.labels import encode_numbers
from mmseq.heads.metrics import Average
from mmseq.sources import Reading
from mmseq_circular.angles import angles, concentration


class VonMisesColumn(ColumnConfig):
    """What is read and fitted."""

    period: PositiveFloat = Field(360.0, description="after how much the numbers are the same again")


class VonMisesConfig(VonMisesColumn):
    kind: Literal["von_mises"]


class VonMisesSpec(Spec):
    """What the training split tells.

    Attributes:
        period: of the numbers.
        cos, sin: of the mean direction, times the concentration about it.
    """

    period: float
    cos: float
    sin: float


@heads.register(VonMisesConfig)
class VonMisesHead(Head):
    """The von Mises distribution: −log p(θ) = log I₀(κ) + log 2π − (a cos θ + b sin θ), κ = √(a² + b²).

    Its parameters (a, b) are in no need of a bound, and no angle is an edge. Told are the mean direction
    and the concentration κ. Metrics: `mae`, the mean distance the short way round, and `nll`.
    Source: Mardia and Jupp 2000, "Directional statistics", section 3.5.4.
    """

    Spec = VonMisesSpec

    def __init__(self, spec: VonMisesSpec, hidden: int) -> None:
        super().__init__()
        self.spec = spec
        self.linear = nn.Linear(hidden, 2)
        nn.init.zeros_(self.linear.bias)

    @classmethod
    def reading(cls, config: VonMisesColumn) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    @classmethod
    def fit(cls, config: VonMisesColumn, facts: Labels) -> VonMisesSpec:
        _check(facts)
        angle = angles(facts.values[~np.isnan(facts.values)], config.period)
        if not len(angle):
            raise facts.error("has no label in the training split")
        cos, sin = float(np.cos(angle).mean()), float(np.sin(angle).mean())
        length = math.hypot(cos, sin)
        factor = concentration(length) / max(length, 1e-9)
        return VonMisesSpec(period=config.period, cos=factor * cos, sin=factor * sin)

    def encode(self, labels: Labels) -> Encoded:
        _check(labels)
        return encode_numbers(labels)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden) + hidden.new_tensor([self.spec.cos, self.spec.sin])

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        angle = target.value.double() * (2 * math.pi / self.spec.period)
        direction = torch.cat([angle.cos(), angle.sin()], 1).to(parameters.dtype)
        # A square root has no gradient at 0; log I₀(κ) − κ stays small where I₀ overflows.
        kappa = (parameters.square().sum(1, keepdim=True) + 1e-12).sqrt()
        towards = (parameters * direction).sum(1, keepdim=True)
        return torch.special.i0e(kappa).log() + kappa - towards + math.log(2 * math.pi)

    def _mean(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query"]:
        turn = torch.atan2(parameters[:, 1], parameters[:, 0]).double() / (2 * math.pi)
        return turn % 1 * self.spec.period

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        columns = {"": self._mean(parameters), "concentration": parameters.norm(dim=1)}
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        return self.linear.weight.new_tensor([[self.spec.cos, self.spec.sin]]).expand(len(target), 2)

    def metrics(self) -> dict[str, Metric]:
        return {"mae": Average(), "nll": Average()}

    @classmethod
    def metric_names(cls, config: VonMisesColumn) -> tuple[str, ...]:
        return "mae", "nll"

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        period = self.spec.period
        away = (self._mean(parameters)[:, None] - target.value.double()) % period
        metrics["mae"].update(torch.minimum(away, period - away))
        metrics["nll"].update(self.loss(parameters, target))

    @staticmethod
    def example_labels() -> Labels:
        """Directions all round for the contract: without it, it would try zeros and ones."""
        values = np.random.default_rng(0).uniform(0, 360, (24, 1))
        values[::7] = np.nan
        return Labels(("y",), values, np.zeros(0, np.int32), task="task")


def _check(labels: Labels) -> None:
    """Raises DataError for a label that is no finite number."""
    if np.isinf(labels.values).any():
        row = int(np.flatnonzero(np.isinf(labels.values))[0])
        raise labels.refuse("labels must be finite, or missing; correct it", row)
