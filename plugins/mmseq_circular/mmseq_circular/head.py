"""A head for numbers that come round again."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import Field, PositiveFloat
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import ColumnConfig, Labels, heads
from mmseq.heads.linear import LinearHead, LinearSpec
from mmseq_circular.angles import angles, concentration


class VonMisesConfig(ColumnConfig):
    kind: Literal["von_mises"]
    period: PositiveFloat = Field(360.0, description="after how much the numbers are the same again")


class VonMisesSpec(LinearSpec):
    """What the training split tells; `start` is its mean direction, times the concentration about it.

    Attributes:
        period: of the numbers.
    """

    period: float


@heads.register(VonMisesConfig)
class VonMisesHead(LinearHead):
    """The von Mises distribution: −log p(θ) = log I₀(κ) + log 2π − (a cos θ + b sin θ), κ = √(a² + b²).

    Its parameters (a, b) are in no need of a bound, and no angle is an edge. Told are the mean direction
    and the concentration κ. Metrics: `mae`, the mean distance the short way round, and `nll`.
    Source: Mardia and Jupp 2000, "Directional statistics", section 3.5.4.
    """

    Spec = VonMisesSpec
    scored = ("mae", "nll")

    @classmethod
    def fit(cls, config: VonMisesConfig, facts: Labels) -> VonMisesSpec:
        return VonMisesSpec(**super().fit(config, facts).model_dump(), period=config.period)

    @classmethod
    def constant(cls, config: VonMisesConfig, values: Float64[np.ndarray, "_label"]) -> list[float]:
        angle = angles(values, config.period)
        cos, sin = float(np.cos(angle).mean()), float(np.sin(angle).mean())
        length = math.hypot(cos, sin)
        factor = concentration(length) / max(length, 1e-9)
        return [factor * cos, factor * sin]

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

    def scores(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> dict[str, Float[Tensor, "label column"]]:
        period = self.spec.period
        away = (self._mean(parameters)[:, None] - target.value.double()) % period
        return {"mae": torch.minimum(away, period - away), "nll": self.loss(parameters, target)}

    @staticmethod
    def example_labels() -> Labels:
        """Directions all round for the contract: without it, it would try zeros and ones."""
        values = np.random.default_rng(0).uniform(0, 360, (24, 1))
        values[::7] = np.nan
        return Labels(("y",), values, np.zeros(0, np.int32), task="task")
