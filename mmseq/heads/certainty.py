"""What a head can say of how sure it is: what calibration takes from it, and gives back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Float64, Int64
from torch import Tensor

from mmseq.batch import Target


class PredictsClasses:
    """A head that tells the probability of each class, in one column or in several of as many classes.

    A head that also inherits from this is calibrated as classes are: see `mmseq.calibration.classes`.
    """

    @abstractmethod
    def choices(self) -> dict[str, list[str]]:
        """Names of the classes, by what a column is called in a prediction table; `""` is the task's own."""

    @abstractmethod
    def log_classes(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float[Tensor, "query column class"]:
        """log p of each class, finite; of each column they add up to 1."""

    @abstractmethod
    def from_log_classes(
        self, log_p: Float[Tensor, "query column class"]
    ) -> Float[Tensor, "query parameter"]:
        """The parameters of a prediction with these probabilities: what undoes `log_classes`."""

    @abstractmethod
    def true_classes(self, target: Target) -> Int64[Tensor, "label column"]:
        """The class that each label is, where it is observed."""


class PredictsOneClass(PredictsClasses):
    """A head of one column, whose classes are those of its spec."""

    spec: Any

    @abstractmethod
    def log_probability(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query class"]:
        """log p of each class."""

    def choices(self) -> dict[str, list[str]]:
        return {"": self.spec.classes}

    def log_classes(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float[Tensor, "query column class"]:
        return self.log_probability(parameters)[:, None]

    def true_classes(self, target: Target) -> Int64[Tensor, "label column"]:
        return target.value[:, None]


@dataclass(frozen=True)
class Range:
    """Where numbers are expected, on the scale that a head learns them.

    Attributes:
        low: of each query, and column where there are several.
        high: not below `low`; the same where only a point is told.
        unit: above 0; by how much of it a range is widened where it is too narrow.
    """

    low: Float64[Tensor, "query *column"]
    high: Float64[Tensor, "query *column"]
    unit: Float64[Tensor, "query *column"]


class PredictsRanges:
    """A head that tells numbers, as points or as ranges, on a scale T(y) that rises with y.

    A head that also inherits from this is calibrated as numbers are: see `mmseq.calibration.ranges`.
    """

    @abstractmethod
    def numbers(self) -> list[str]:
        """What each number is called in a prediction table; `""` is the task's own."""

    @property
    @abstractmethod
    def tells_ranges(self) -> bool:
        """Whether `ranges` are meant to hold the number; else they are points."""

    @abstractmethod
    def ranges(self, parameters: Float[Tensor, "query parameter"], coverage: float) -> Range:
        """Where T(y) is expected with this probability, or as nearly as the head can say."""

    @abstractmethod
    def transform_labels(self, value: Float[Tensor, "label column"]) -> Float64[Tensor, "label column"]:
        """y → T(y)."""

    @abstractmethod
    def untransform(self, value: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
        """T(y) → y; beyond what y can be, the nearest that it can."""
