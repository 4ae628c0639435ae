"""Calibrated numbers: intervals that hold as many of them as they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from pydantic import FiniteFloat
from torch import Tensor

from mmseq.calibration.conformal import threshold
from mmseq.calibration.evidence import Change, Choice, Evidence, Measures, crossed_thresholds
from mmseq.calibration.measures import by_unit
from mmseq.calibration.task import Column, ColumnLabels, TaskCalibration
from mmseq.heads.certainty import PredictsRanges, Range
from mmseq.heads.labels import join

Ends = tuple[Float64[Tensor, "..."], Float64[Tensor, "..."]]


class RangeColumn(Column):
    """What was fitted of one column.

    Attributes:
        margin: by how many units a range is widened; below 0 it is narrowed. None: there are no intervals.
    """

    margin: FiniteFloat | None

    @property
    def is_empty(self) -> bool:
        return self.margin is None


class RangeTask(TaskCalibration):
    """The calibration of a head that `PredictsRanges`.

    Of each column, a range [l, h] with unit u becomes [l − m·u, h + m·u], m being a threshold on the scores
    max(l − T(y), T(y) − h) / u of the labels y. Of quantiles that is conformalised quantile regression; of
    points the split conformal interval of absolute residuals; of a Gaussian that of residuals over predicted
    standard deviations.

    Source: Romano, Patterson and Candès 2019, "Conformalized quantile regression" (arXiv 1905.03222), section
    4; Lei et al. 2018, "Distribution-free predictive inference for regression", section 5.2.
    """

    kind: Literal["ranges"] = "ranges"
    columns: list[RangeColumn]

    @staticmethod
    def names(head: Any) -> list[str]:
        return head.numbers()

    @staticmethod
    def labels(evidence: Evidence, choice: Choice) -> list[RangeLabels]:
        head: PredictsRanges = evidence.head
        told = head.ranges(evidence.parameters, choice.coverage)
        truth = head.transform_labels(evidence.target.value)
        found = []
        for c in range(truth.shape[1]):
            rows = evidence.observed(c)
            own = torch.from_numpy(rows)
            part = Range(told.low[own, c], told.high[own, c], told.unit[own, c])
            unit, fold = evidence.unit[rows], evidence.folds(rows)
            found.append(RangeLabels(part, truth[own, c], unit, fold, head.untransform, head.tells_ranges))
        return found

    def fits(self, head: Any) -> bool:
        return isinstance(head, PredictsRanges) and len(head.numbers()) == len(self.columns)

    def apply(self, head: Any, parameters: Tensor, coverage: float) -> tuple[Tensor, dict[str, np.ndarray]]:
        """The parameters as they are, and `low` and `high` of each column that has intervals."""
        margin = torch.tensor([column.margin or 0.0 for column in self.columns], dtype=torch.float64)
        ends = [head.untransform(end) for end in widened(head.ranges(parameters, coverage), margin)]
        told: dict[str, np.ndarray] = {}
        for c, (name, column) in enumerate(zip(head.numbers(), self.columns, strict=True)):
            if column.margin is not None:
                told |= {join(name, end): ends[i][:, c].numpy() for i, end in enumerate(("low", "high"))}
        return parameters, told


@dataclass(frozen=True)
class RangeLabels(ColumnLabels):
    """The observed labels of one column, and what was said of them.

    Attributes:
        told: where each was expected, on the head's scale.
        truth: where it was.
        unit: what each belongs to.
        fold: the part of the labels that it is in.
        untransform: from the head's scale to that of the labels.
        is_range: what was told are ranges, else points.
    """

    told: Range
    truth: Float64[Tensor, "label"]
    unit: Int64[np.ndarray, "label"]
    fold: Int64[np.ndarray, "label"]
    untransform: Callable[[Tensor], Tensor]
    is_range: bool

    def fit(self, choice: Choice) -> tuple[RangeColumn, Measures]:
        short = torch.maximum(self.told.low - self.truth, self.truth - self.told.high)
        scores, lack = (short / self.told.unit).numpy(), choice.lack(self.unit)
        margin = threshold(scores, self.unit, choice.coverage)
        margins = crossed_thresholds(scores, self.unit, self.fold, choice.coverage)
        column = RangeColumn(margin=margin, remark=f"no intervals: {lack}" if lack else "")
        return column, self.measures(margins)

    def judge(self, column: RangeColumn, choice: Choice) -> Measures:
        return self.measures(None if column.margin is None else np.full(len(self.unit), column.margin))

    def measures(self, margins: np.ndarray | None) -> Measures:
        """Before and after.

        Args:
            margins: by which the range of each label is widened; None: there are none.
        """
        nothing = (np.nan, np.nan)
        before = self._measured((self.told.low, self.told.high)) if self.is_range else nothing
        after = nothing if margins is None else self._measured(widened(self.told, torch.from_numpy(margins)))
        return {"coverage": Change(before[0], after[0]), "width": Change(before[1], after[1])}

    def _measured(self, ends: Ends) -> tuple[float, float]:
        """Which share of the labels is between the ends, and how far those are from each other."""
        low, high = ends
        right = (low <= self.truth) & (self.truth <= high)
        width = self.untransform(high) - self.untransform(low)
        return by_unit(right.double(), self.unit), by_unit(width, self.unit)


def widened(told: Range, margin: Float64[Tensor, "..."]) -> Ends:
    """Ranges with a margin of so many units; where one below 0 leaves nothing, the point in the middle."""
    low, high = told.low - margin * told.unit, told.high + margin * told.unit
    middle = (low + high) / 2
    return torch.minimum(low, middle), torch.maximum(high, middle)
