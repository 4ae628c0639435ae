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
from mmseq.errors import ConfigError, PluginError
from mmseq.heads.config import (
    ColumnConfig,
    ColumnsConfig,
    HeadConfig,
    HidingConfig,
    LabelConfig,
    TargetConfig,
)
from mmseq.heads.labels import Encoded, Labels, Upcoming, encode_numbers, join, told_names, told_once
from mmseq.heads.metrics import Average
from mmseq.heads.numbers import check_numbers
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

    A subclass writes what is abstract here; sums, masks and weights are done once, in this class. The options
    are fields of the config, of which `reading` and `fit` see all.

    Attributes:
        Spec: class of the facts fitted on the training split.
        spec: those facts; a subclass sets it.
        scored: names of what `scores` tells.
        negatives: how many other events each label is told apart from; 0 but where the label is a next event
            without a likelihood.
        baseline_names: in a report, of what the predictions are compared with.
    """

    Spec: ClassVar[type[BaseModel]]
    spec: Any
    scored: ClassVar[Sequence[str]] = ()
    negatives: int = 0
    baseline_names: tuple[str, ...] = ("baseline",)

    @classmethod
    def reading(cls, config: Any) -> Reading | None:
        """The columns that hold the labels; None where the targets come from the inputs themselves.

        Here: the numbers of the columns that the config names.

        Raises:
            PluginError: it names none.
        """
        if not isinstance(config, ColumnConfig | ColumnsConfig):
            raise PluginError(
                f"{cls.__name__}: must have `reading`, or a config that names columns; came "
                f"{type(config).__name__}; derive it from ColumnConfig or ColumnsConfig"
            )
        return Reading(config.table, config.time, numbers=config.names)

    @classmethod
    def check(cls, labels: Labels) -> None:
        """Raises DataError for a number that cannot be learned: here, an infinite one."""
        check_numbers(labels, None)

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

    def encode(self, labels: Labels) -> Encoded:
        """Raw labels of any split → targets: here, numbers that pass `check`.

        Raises:
            DataError: a label cannot be learned, or needs what the training split never had.
        """
        self.check(labels)
        return encode_numbers(labels)

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

    def named(self, columns: Mapping[str, Float[Tensor, "query column"]]) -> dict[str, np.ndarray]:
        """Columns of a prediction table, by what is told of each label column; `""` is the number itself."""
        return told_once(
            (join(name, what), values[:, c].cpu().numpy())
            for c, name in enumerate(told_names(self.spec.columns))
            for what, values in columns.items()
        )

    def scores(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Mapping[str, Float[Tensor, "label column"]]:
        """What metrics are means of, less being better, by the names in `scored`; not masked."""
        return {}

    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics by name, for `score` to update: here, the means of `scores`."""
        return {name: Average() for name in self.scored}

    @classmethod
    def metric_names(cls, config: Any) -> Sequence[str] | None:
        """Names that `metrics` may have with this config; None: the data decide."""
        return cls.scored or None

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        """Updates the metrics with observed labels, here with `scores`; must take zero labels.

        Raises:
            PluginError: `scores` tells other names than `scored`.
        """
        target = fill_unobserved(target)
        told = self.scores(parameters, target)
        if told.keys() != set(self.scored):
            scored, came = (", ".join(names) or "none" for names in (self.scored, told))
            raise PluginError(
                f"{type(self).__name__}: `scores` tells what `scored` names, {scored}; {came} came; make "
                "them the same, or write `metrics` and `score`"
            )
        for name, value in told.items():
            seen = value if target.observed is None else value[target.observed]
            metrics[name].update(seen.reshape(-1, 1))

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
