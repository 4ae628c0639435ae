"""Labels of a task: raw as the store holds them, and as a head's loss takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseq.errors import ConfigError, DataError

OTHERWISE = "drop it, or divide the samples otherwise (data.split)"


class LabelError(DataError):
    """A label that its task cannot learn from.

    Attributes:
        row: of the labels.
        column: that holds it.
        came: the label.
    """

    def __init__(self, message: str, row: int, column: str, came: str | float) -> None:
        super().__init__(message)
        self.row, self.column, self.came = row, column, came


@dataclass(frozen=True)
class Labels:
    """Raw labels of one task, as the store holds them.

    Attributes:
        columns: names of the label columns.
        values: numbers, NaN where missing; (label, 0) where the task reads codes.
        code: codes into `vocabulary`, -1 where missing; (0,) where the task reads numbers.
        vocabulary: the strings behind the codes.
        task: name of the task, for errors.
    """

    columns: tuple[str, ...]
    values: np.ndarray
    code: np.ndarray
    vocabulary: tuple[str, ...] = ()
    task: str = ""

    def error(self, problem: str, column: str | None = None) -> DataError:
        """A data error that says which task, and which of its columns."""
        task = f"task {self.task!r}" if self.task else "labels"
        return DataError(f"{task}, column {column or ', '.join(self.columns)}: {problem}")

    def lacking(self, column: str | None = None) -> DataError:
        """The error about a column without any label."""
        return self.error(f"has no label in the training split; {OTHERWISE}", column)

    def refuse(self, problem: str, row: int, column: int = 0) -> LabelError:
        """The error about one of the labels."""
        name = self.columns[column]
        came = float(self.values[row, column]) if self.values.size else self.vocabulary[self.code[row]]
        return LabelError(str(self.error(problem, name)), row, name, came)


@dataclass(frozen=True)
class Encoded:
    """Labels as the head's loss takes them: rows without anything observed are gone.

    Attributes:
        row: which raw rows remain.
        value: int64 class indices (label,), or numbers (label, column) in the store's own precision,
            0 where not observed.
        observed: (label, column); None where all are.
    """

    row: np.ndarray
    value: np.ndarray
    observed: np.ndarray | None = None


def encode_numbers(labels: Labels) -> Encoded:
    """Numbers with NaN where missing → the rows that have any, and which of their columns are real."""
    observed = ~np.isnan(labels.values)
    row = np.flatnonzero(observed.any(1))
    observed = observed[row]
    return Encoded(row, np.where(observed, labels.values[row], 0), None if observed.all() else observed)


def natural_order(names: Iterable[str]) -> list[str]:
    """Numbers by their size, then the other names by their letters."""

    def key(name: str) -> tuple[bool, float, str]:
        try:
            number = float(name)
        except ValueError:
            return True, 0.0, name
        return (True, 0.0, name) if np.isnan(number) else (False, number, name)

    return sorted(names, key=key)


@dataclass(frozen=True)
class Upcoming:
    """What a head is fitted on whose labels are the events of a modality.

    Attributes:
        modality: the fitted modality.
        waits: times from steps to its next event, of some of the training split; none where cells are hidden.
    """

    modality: Any
    waits: np.ndarray


def join(*parts: str) -> str:
    """Parts of a column's name, without those that are empty."""
    return ".".join(filter(None, parts))


def told_names(columns: Sequence[str]) -> list[str]:
    """What each is called in a prediction table: one alone has no name there."""
    return [""] if len(columns) == 1 else list(columns)


def told_once(columns: Iterable[tuple[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Columns of a prediction table by name.

    Raises:
        ConfigError: two have one name, as the scale of `x` and a column that is called `x.scale`.
    """
    listed = list(columns)
    told = dict(listed)
    if len(told) < len(listed):
        name = next(name for name, count in Counter(name for name, _ in listed).items() if count > 1)
        raise ConfigError(
            f"a column of predictions must have a name of its own; {name!r} is a column of the data, and "
            "what is told of another; rename it in the data"
        )
    return told
