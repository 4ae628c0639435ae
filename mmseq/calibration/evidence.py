"""What a head said at labels, and what is asked of its calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from mmseq.batch import Target
from mmseq.calibration.affine import METHODS
from mmseq.calibration.conformal import least_units, threshold
from mmseq.errors import ConfigError
from mmseq.given import check_number

N_FOLDS = 5
UNITS = ("sample", "group")


@dataclass(frozen=True)
class Choice:
    """What is asked for.

    Attributes:
        coverage: share of labels that sets and intervals are to hold.
        method: how probabilities of classes are set right.
        unit: what counts as one in coverage, and stays together: a sample, or a group.

    Raises:
        ConfigError: a value is none of those allowed.
    """

    coverage: float = 0.9
    method: str = "temperature"
    unit: str = "sample"

    def __post_init__(self) -> None:
        check_number("calibrate: coverage", self.coverage)
        if not 0 < self.coverage < 1:
            raise ConfigError(f"calibrate: coverage must be above 0 and below 1; {self.coverage:g} came")
        for name, value, known in (("method", self.method, METHODS), ("by", self.unit, UNITS)):
            if value not in known:
                raise ConfigError(f"calibrate: {name} must be one of {', '.join(known)}; {value!r} came")

    def lack(self, unit: Int64[np.ndarray, "label"]) -> str:
        """Why labels of these units are too few for sets or intervals; empty where they are not."""
        n, least = len(np.unique(unit)), least_units(self.coverage)
        if n >= least:
            return ""
        return f"a coverage of {self.coverage:g} needs labels of {least} {self.unit}s; there are {n}"


class Change(NamedTuple):
    """A measure before and after calibration; NaN where it has no value."""

    before: float
    after: float = math.nan


Measures = dict[str, Change]


@dataclass(frozen=True)
class Evidence:
    """What a head said at all labels of a task.

    Attributes:
        head: that said it.
        parameters: at each label.
        target: the labels.
        unit: what each label belongs to: a sample, or a group.
        rank: of each unit, its place in an order that has nothing to do with the data.
    """

    head: Any
    parameters: Float[Tensor, "label parameter"]
    target: Target
    unit: Int64[np.ndarray, "label"]
    rank: Int64[np.ndarray, "unit"]

    def observed(self, column: int) -> Bool[np.ndarray, "label"]:
        """Which labels have a column."""
        if self.target.observed is None:
            return np.ones(len(self.unit), bool)
        return self.target.observed[:, column].numpy()

    def counts(self, column: int) -> tuple[int, int]:
        """How many labels a column has, and how many units have any."""
        own = self.unit[self.observed(column)]
        return len(own), len(np.unique(own))

    def folds(self, rows: Bool[np.ndarray, "label"]) -> Int64[np.ndarray, "row"]:
        """Of some labels, which of five parts each is in; those of a unit are in the same."""
        own, of_unit = np.unique(self.unit[rows], return_inverse=True)
        place = self.rank[own].argsort().argsort()
        return (place % N_FOLDS)[of_unit]


def others(fold: Int64[np.ndarray, "row"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each part, its rows and those of all other parts."""
    for part in np.unique(fold):
        yield fold == part, fold != part


def crossed_thresholds(
    scores: Float64[np.ndarray, "row"],
    unit: Int64[np.ndarray, "row"],
    fold: Int64[np.ndarray, "row"],
    coverage: float,
) -> Float64[np.ndarray, "row"] | None:
    """For each label, the threshold of the other parts; None where one of them has too few units."""
    found = np.full(len(unit), np.nan)
    for here, there in others(fold):
        bound = threshold(scores[there], unit[there], coverage)
        if bound is None:
            return None
        found[here] = bound
    return found
