"""What numbers as labels need: checks, standardising, losses of a difference."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmseq.heads.labels import Labels
from mmseq.limits import LARGEST_NUMBER, LARGEST_RULE

LossName = Literal["squared", "absolute", "huber", "gaussian"]
Transform = Literal["log1p"]

_BOUND = 4.0


def soft_clamp(x: Float[Tensor, "..."], bound: float = _BOUND) -> Float[Tensor, "..."]:
    """4·tanh(x/4): about x near 0, within (−4, 4) everywhere, and never without a gradient."""
    return bound * (x / bound).tanh()


def inverse_soft_clamp(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """What soft_clamp makes x of, −4 < x < 4."""
    return _BOUND * (x / _BOUND).atanh()


def inverse_softplus(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """What softplus makes x of, x > 0: log(eˣ − 1), without overflow."""
    return x + (-(-x).expm1()).log()


def pointwise_loss(name: LossName, difference: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The loss of each difference between a number and its prediction."""
    if name == "squared":
        return difference.square()
    if name == "absolute":
        return difference.abs()
    if name == "huber":
        return F.huber_loss(difference, difference.new_zeros(()).expand_as(difference), reduction="none")
    raise ValueError(f"loss {name!r} is not one of a difference alone")


def check_numbers(labels: Labels, transform: Transform | None) -> None:
    """Raises DataError for what cannot be learned: what is too large, and log1p of a number ≤ −1."""
    wrong = np.isinf(labels.values)
    problem = "labels must be finite, or missing"
    if not wrong.any():
        wrong = np.abs(labels.values) > np.float64(LARGEST_NUMBER)  # float32 does not hold it
        problem = f"labels {LARGEST_RULE}"
    if transform == "log1p" and not wrong.any():
        wrong = labels.values <= -1
        problem = "transform log1p needs labels above -1"
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        problem = f"{problem}; got {labels.values[row, column]:g}; correct it"
        raise labels.refuse(problem, int(row), int(column))


def check_counts(labels: Labels) -> None:
    """Raises DataError for what is no count: not a whole number from 0 on."""
    seen = labels.values
    wrong = ~np.isnan(seen) & ((seen < 0) | np.isinf(seen) | (seen != np.floor(seen)))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        problem = f"counts must be whole numbers from 0 on, or missing; got {seen[row, column]:g}; correct it"
        raise labels.refuse(problem, int(row), int(column))


def standard(labels: Labels, values: np.ndarray, column: int) -> tuple[float, float]:
    """Mean and standard deviation of a column's labels.

    Raises:
        DataError: it has no label.
    """
    seen = values[:, column].astype(np.float64)
    seen = seen[~np.isnan(seen)]
    if not len(seen):
        raise labels.lacking(labels.columns[column])
    return moments(seen)


def moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of some float64 numbers, at least one; 1 where they do not vary."""
    mean, std = float(values.mean()), float(values.std())
    # A constant's deviation is rounding error: dividing by it would make noise of any other number.
    return mean, std if std > 1e-12 * abs(mean) else 1.0
