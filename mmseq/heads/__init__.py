"""Heads: hidden → the parameters of a prediction; its loss as a sum; its decoding; its metrics."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads.config import (
    ColumnConfig,
    ColumnsConfig,
    HeadConfig,
    HidingConfig,
    LabelConfig,
    TargetConfig,
)
from mmseq.heads.labels import Encoded, Labels, Upcoming
from mmseq.random import Draws
from mmseq.registry import Registry
from mmseq.sources import Reading

__all__ = [
    "ColumnConfig",
    "ColumnsConfig",
    "Encoded",
    "Head",
    "HeadConfig",
    "HidingConfig",
    "LabelConfig",
    "Labels",
    "Spec",
    "TargetConfig",
    "Upcoming",
    "fill_unobserved",
    "heads",
]


class Spec(BaseModel):
    """Facts fitted on the training split, kept in the bundle as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Head(nn.Module):
    """Hidden → parameters, and what they mean. Constructor: `(spec, hidden, *, …options)`.

    A subclass writes what is abstract here; sums, masks and weights are done once, in this class.

    Attributes:
        Spec: class of the facts fitted on the training split.
        negatives: how many other events each label is told apart from; 0 but where the label is a next event
            without a likelihood.
        baseline_names: in a report, of what the predictions are compared with.
    """

    Spec: ClassVar[type[BaseModel]]
    negatives: int = 0
    baseline_names: tuple[str, ...] = ("baseline",)

    @classmethod
    @abstractmethod
    def reading(cls, config: Any) -> Reading | None:
        """The columns that hold the labels; None where the targets come from the inputs themselves."""

    @classmethod
    @abstractmethod
    def fit(cls, config: Any, facts: Any) -> BaseModel:
        """What the training split tells.

        Args:
            config: the task's config.
            facts: the training split's `Labels`; of a next-step head, `Upcoming`.

        Raises:
            DataError: there is nothing to learn from.
        """

    @abstractmethod
    def encode(self, labels: Labels) -> Encoded:
        """Raw labels of any split → targets. Raises DataError for one that the training split never had."""

    @abstractmethod
    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        """The parameters of a prediction for each query."""

    @abstractmethod
    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label ..."]:
        """Loss of each label, or of each of its columns: neither reduced nor masked nor weighted."""

    @abstractmethod
    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        """Columns of a prediction table, in original units and class names.

        A column's name follows the task's: `""` is the task's own column, `"scale"` is `<task>.scale`.
        """

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, Any]:
        """Values drawn from what is predicted: by column, as `decode` names them; a list, one a query.

        Args:
            parameters: of the predictions.
            draws: where the random numbers come from, a row each.
            temperature: below 1 draws nearer to what is most probable, which 0 takes; above 1, wider.
            top_k: draw from so many classes, the most probable ones; None: from all.

        Raises:
            ConfigError: the head predicts no distribution.
        """
        raise ConfigError(
            f"{type(self).__name__}: predicts no distribution that a value could be drawn from; generate "
            "modalities whose next event has one, such as a numeric or a category"
        )

    @abstractmethod
    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """Parameters of the prediction that needs no inputs.

        That is the last value where `target.previous` has one, else what the training split tells:
        how often each class is, or the mean.
        """

    def baselines(self, target: Target) -> dict[str, Float[Tensor, "label parameter"]]:
        """What to compare with, by the names of `baseline_names`."""
        return {"baseline": self.baseline(target)}

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, for `score` to update."""

    @classmethod
    def metric_names(cls, config: Any) -> Sequence[str] | None:
        """Names that `metrics` may have with this config; None: the data decide."""
        return None

    @abstractmethod
    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        """Updates the metrics with observed labels; must take zero labels."""

    def weights(self, target: Target) -> Float[Tensor, "label ..."]:
        """Weight of each label, or of each of its columns; depends on targets only, never on outputs."""
        weight = (
            torch.ones_like(target.where, dtype=torch.float32) if target.weight is None else target.weight
        )
        if target.observed is None:
            return weight if target.value.ndim == 1 else weight[:, None].expand(target.value.shape)
        return weight[:, None] * target.observed

    def loss_sum(self, parameters: Float[Tensor, "label parameter"], target: Target) -> Float[Tensor, ""]:
        """Weighted sum of the losses of what was observed."""
        # Sums over a batch need more digits than half precision has.
        parameters = parameters.float() if parameters.element_size() < 4 else parameters
        # A value that is not real must not be NaN either: 0 · NaN would reach the gradients.
        target = fill_unobserved(target)
        loss, weights = self.loss(parameters, target), self.weights(target)
        return torch.where(weights > 0, loss * weights, 0).sum()


def fill_unobserved(target: Target) -> Target:
    """0 for every value that is not real."""
    if target.observed is None:
        return target
    return replace(target, value=torch.where(target.observed, target.value, 0))


heads: Registry[Head] = Registry("heads", HeadConfig)
