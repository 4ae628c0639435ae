"""What heads of standardised numbers share: facts, transform, units, errors of a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from pydantic import BaseModel, Field
from torch import Tensor
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import Encoded, Head, Labels, Spec
from mmseq.heads.certainty import PredictsRanges
from mmseq.heads.labels import encode_numbers, told_names
from mmseq.heads.metrics import R2, Average, Rmse
from mmseq.heads.numbers import Transform, check_numbers, moments, standard

_FITTED = ("mean", "std")

# Not typing.Self: the shape checker of the tests cannot read it.
HeadType = TypeVar("HeadType", bound="StandardisedHead")


class Transformed(BaseModel):
    """The option of a head of standardised numbers."""

    transform: Transform | None = Field(
        None, description="log1p: learn log(1 + y) of a number above -1; null: learn y itself"
    )


class StandardisedSpec(Spec):
    """Where the numbers lie, after the transform.

    Attributes:
        columns: their names.
        mean: of each column's training labels.
        std: their standard deviation; 1 for a column that never varies.
    """

    columns: list[str]
    mean: list[float]
    std: list[float]


class StandardisedHead(PredictsRanges, Head):
    """Base of a head that learns z = (T(y) − mean) / std; what it reads and tells is y.

    T is the transform. A subclass builds its layers, and says what it predicts of z.
    """

    Spec: ClassVar[type[StandardisedSpec]] = StandardisedSpec

    mean: Tensor
    std: Tensor

    def __init__(self, spec: StandardisedSpec, *, transform: Transform | None) -> None:
        super().__init__()
        self.spec = spec
        self.transform = transform
        self.n_columns = len(spec.columns)
        for name in _FITTED:
            self.register_buffer(name, None, persistent=False)
        self._set_fitted(torch.empty(0).device)

    def _set_fitted(self, device: torch.device) -> None:
        for name in _FITTED:
            setattr(self, name, torch.tensor(getattr(self.spec, name), dtype=torch.float64, device=device))

    def _apply(self: HeadType, function: Callable[[Tensor], Tensor], recurse: bool = True) -> HeadType:
        """Moves and casts, but not what was fitted: labels may need all of its digits."""
        super()._apply(function, recurse)
        self._set_fitted(self.mean.device)
        return self

    def encode(self, labels: Labels) -> Encoded:
        check_numbers(labels, self.transform)
        return encode_numbers(labels)

    def units(self, like: Tensor) -> tuple[Float64[Tensor, "column"], Float64[Tensor, "column"]]:
        """Mean and std, wherever the numbers are: decoding and scoring move to the CPU."""
        return self.mean.to(like.device), self.std.to(like.device)

    def standardise(self, value: Float[Tensor, "label column"]) -> Float64[Tensor, "label column"]:
        """y → z, in float64: labels may be large and differ little."""
        mean, std = self.units(value)
        return (self.transform_labels(value) - mean) / std

    def untransform(self, value: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """T(y) → y, in float64: an exponential of float32 overflows soon."""
        return value.expm1() if self.transform else value

    def log_jacobian(self, value: Float[Tensor, "label column"]) -> Float64[Tensor, "label column"]:
        """What to add to −log p(z) for −log p(y): y → z divides by std, and by 1 + y under log1p."""
        log_std = self.units(value)[1].log().expand(value.shape)
        return log_std + value.double().log1p() if self.transform else log_std

    def numbers(self) -> list[str]:
        return told_names(self.spec.columns)

    def error_metrics(self) -> dict[str, Metric]:
        """`mae` and `rmse` of each column, `r2`, and with a transform `r2` of T(y)."""
        origin = np.expm1(self.spec.mean).tolist() if self.transform else self.spec.mean
        metrics: dict[str, Metric] = {}
        for name in suffixes(self.spec.columns):
            metrics[f"mae{name}"], metrics[f"rmse{name}"] = Average(), Rmse()
        metrics["r2"] = R2(origin)
        if self.transform:
            metrics[f"r2_{self.transform}"] = R2(self.spec.mean)
        return metrics

    def score_errors(
        self,
        metrics: Mapping[str, Metric],
        target: Target,
        *,
        median: Float64[Tensor, "label column"],
        mean: Float64[Tensor, "label column"],
    ) -> None:
        """Updates `error_metrics`: absolute errors of what is told as the median, squared ones of the mean.

        Args:
            metrics: to update.
            target: the labels.
            median: of T(y).
            mean: of y.
        """
        observed, truth = target.observed, target.value.double()
        score_columns(metrics, "mae", (truth - self.untransform(median)).abs(), self.spec.columns, observed)
        score_columns(metrics, "rmse", (truth - mean).square(), self.spec.columns, observed)
        metrics["r2"].update(mean, truth, observed)
        if self.transform:
            metrics[f"r2_{self.transform}"].update(median, truth.log1p(), observed)

    def transform_labels(self, value: Float[Tensor, "label column"]) -> Float64[Tensor, "label column"]:
        """T(y)."""
        return value.double().log1p() if self.transform else value.double()


def standard_facts(facts: Labels, transform: Transform | None) -> dict[str, Any]:
    """The fields of `StandardisedSpec`.

    Raises:
        DataError: a label cannot be learned, or a column has none.
    """
    check_numbers(facts, transform)
    values = _transformed(facts, transform)
    mean, std = zip(*(standard(facts, values, c) for c in range(len(facts.columns))), strict=True)
    return {"columns": list(facts.columns), "mean": list(mean), "std": list(std)}


def standard_labels(facts: Labels, transform: Transform | None) -> list[Float64[np.ndarray, "_"]]:
    """z of each column's labels that are there, at least one."""
    found = []
    for column in _transformed(facts, transform).T:
        seen = column[~np.isnan(column)]
        mean, std = moments(seen)
        found.append((seen - mean) / std)
    return found


def _transformed(facts: Labels, transform: Transform | None) -> Float64[np.ndarray, "label column"]:
    values = facts.values.astype(np.float64)
    return np.log1p(values) if transform else values


def error_names(columns: Sequence[str], transform: Transform | None) -> list[str]:
    """Names of a head's `error_metrics`."""
    return [*by_column(("mae", "rmse"), columns), "r2", *([f"r2_{transform}"] if transform else [])]


def crps_name(transform: Transform | None) -> str:
    """What the CRPS is called: under a transform it is that of T(y)."""
    return f"crps_{transform}" if transform else "crps"


def suffixes(columns: Sequence[str]) -> list[str]:
    """What a column's metrics end in: each has its own, for they may be in different units."""
    return [""] if len(columns) == 1 else [f".{name}" for name in columns]


def by_column(metrics: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Names of metrics that every column has its own of."""
    return [f"{metric}{name}" for name in suffixes(columns) for metric in metrics]


def score_columns(
    metrics: Mapping[str, Metric],
    metric: str,
    value: Float[Tensor, "label column"],
    columns: Sequence[str],
    observed: Tensor | None,
) -> None:
    """Updates a metric that every column has its own of."""
    for c, name in enumerate(suffixes(columns)):
        seen = None if observed is None else observed[:, c : c + 1]
        metrics[f"{metric}{name}"].update(value[:, c : c + 1], seen)
