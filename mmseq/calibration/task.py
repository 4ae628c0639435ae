"""What calibrations of all kinds of tasks have in common: columns that are fitted each alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from mmseq.calibration.evidence import Choice, Evidence, Measures
from mmseq.heads import Spec

# Not typing.Self: the shape checker of the tests cannot read it.
TaskType = TypeVar("TaskType", bound="TaskCalibration")


class Column(Spec):
    """What was fitted of one column.

    Attributes:
        remark: what is missing, and why.
    """

    remark: str = ""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether it leaves predictions as they are."""


class ColumnLabels:
    """The observed labels of one column, with what was said of them."""

    @abstractmethod
    def fit(self, choice: Choice) -> tuple[Any, Measures]:
        """A column, and what parts of the labels say of one that is fitted to the other parts."""

    @abstractmethod
    def judge(self, column: Any, choice: Choice) -> Measures:
        """What labels that were not fitted say of a column."""


class TaskCalibration(Spec):
    """The calibration of one task.

    Attributes:
        columns: what was fitted of each of the head's columns.
    """

    columns: list[Any]

    @staticmethod
    @abstractmethod
    def names(head: Any) -> list[str]:
        """What each column is called in a prediction table; `""` is the task's own."""

    @staticmethod
    @abstractmethod
    def labels(evidence: Evidence, choice: Choice) -> Sequence[ColumnLabels]:
        """The labels of each column."""

    @abstractmethod
    def fits(self, head: Any) -> bool:
        """Whether it is of such a head."""

    @abstractmethod
    def apply(self, head: Any, parameters: Tensor, coverage: float) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Calibrated parameters, and further columns of a prediction table.

        Args:
            head: that it was fitted for.
            parameters: (query, parameter).
            coverage: that it was fitted for.
        """

    @classmethod
    def fit(cls: type[TaskType], evidence: Evidence, choice: Choice) -> tuple[TaskType, list[Measures]]:
        """Fits every column; also what its labels say of it, each judged by a fit to other parts of them."""
        found = [labels.fit(choice) for labels in cls.labels(evidence, choice)]
        return cls(columns=[column for column, _ in found]), [measures for _, measures in found]

    def measure(self, evidence: Evidence, choice: Choice) -> list[Measures]:
        """What labels that were not fitted say of each column."""
        labels = self.labels(evidence, choice)
        return [own.judge(column, choice) for own, column in zip(labels, self.columns, strict=True)]
