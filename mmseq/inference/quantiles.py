"""Quantiles over paths: of the last value of each number, at regular times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mmseq.batch import Batch, NumericEvents
from mmseq.errors import ConfigError
from mmseq.given import check_number
from mmseq.store.timeline import TOLERANCE

if TYPE_CHECKING:
    from mmseq.model import Model

_POINTS = 20

Columns = Mapping[str, Sequence[str]]
Values = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Grid:
    """Which quantiles, and when.

    Attributes:
        quantiles: shares of the paths.
        passed: since the sample's last step.
    """

    quantiles: Sequence[float]
    passed: np.ndarray

    @property
    def names(self) -> list[str]:
        """The quantiles, as columns are called."""
        return [f"{q:g}" for q in self.quantiles]

    @classmethod
    def of(cls, quantiles: Sequence[float] | None, horizon: float | None, every: float | None) -> Grid | None:
        """Times a twentieth of the horizon apart, or `every`, up to the horizon; None without quantiles.

        Raises:
            ConfigError: they do not fit.
        """
        if quantiles is None:
            if every is not None:
                raise ConfigError("generate: every says how far apart quantiles are; set quantiles, too")
            return None
        if not isinstance(quantiles, Iterable) or isinstance(quantiles, str):
            raise ConfigError(f"generate: quantiles must be a list of numbers; {quantiles!r} came")
        quantiles = list(quantiles)
        for q in quantiles:
            check_number("generate: quantiles: each", q)
        if not quantiles or any(not 0 <= q <= 1 for q in quantiles):
            came = ", ".join(map(str, quantiles)) or "none"
            raise ConfigError(f"generate: quantiles must be numbers from 0 to 1; {came} came")
        if horizon is None:
            raise ConfigError("generate: quantiles need the time up to which they are told; set horizon")
        every = horizon / _POINTS if every is None else every
        check_number("generate: every", every)
        if not 0 < every <= horizon:
            raise ConfigError(
                f"generate: every must be a time above 0 and up to the horizon, {horizon:g}; {every:g} came"
            )
        return cls(quantiles, every * np.arange(1, math.floor(horizon / every + TOLERANCE) + 1))


def numeric_columns(model: Model, names: Sequence[str]) -> dict[str, list[str]]:
    """By modality of numbers, its columns."""
    return {
        name: list(model.modalities[name].read)
        for name in names
        if issubclass(model.modalities[name].gives, NumericEvents)
    }


def last_values(batch: Batch, columns: Columns) -> list[Values]:
    """What each sample's last value of each number is, by modality and column, where there is one."""
    found: list[Values] = [{} for _ in batch.ids]
    for name in columns:
        events = batch.events[name]
        assert isinstance(events, NumericEvents)
        sample = batch.timeline.sample[events.step].tolist()
        for i, values, observed in zip(sample, events.values.tolist(), events.observed.tolist(), strict=True):
            seen = zip(columns[name], values, observed, strict=True)
            found[i].update({(name, column): value for column, value, real in seen if real})
    return found


def quantile_rows(
    id: str, begin: float, paths: list[list[dict[str, Any]]], known: Values, columns: Columns, grid: Grid
) -> Iterator[dict[str, Any]]:
    """A row for each number and time at which any path of a sample has a value.

    Args:
        id: of the sample.
        begin: time of its last step.
        paths: the rows of each, in time.
        known: the sample's last values.
        columns: by modality, of its numbers.
        grid: which quantiles, and when.
    """
    time = begin + grid.passed
    for name, those in columns.items():
        for column in those:
            values = np.stack(
                [_last_at(time, path, name, column, known.get((name, column))) for path in paths]
            )
            for at, now in zip(time.tolist(), values.T, strict=True):
                now = now[~np.isnan(now)]
                if len(now):
                    told = zip(grid.names, np.quantile(now, grid.quantiles).tolist(), strict=True)
                    yield {"id": id, "time": at, "column": f"{name}.{column}", **dict(told)}


def _last_at(
    time: np.ndarray, path: list[dict[str, Any]], name: str, column: str, known: float | None
) -> np.ndarray:
    """A path's last value at some times; NaN before the first."""
    own = [(row["time"], _cell(row[name], column)) for row in path if name in row]
    seen = [(at, value) for at, value in own if value is not None]
    at = np.array([at for at, _ in seen])
    values = np.array([math.nan if known is None else known, *(value for _, value in seen)])
    return values[np.searchsorted(at, time + TOLERANCE * np.maximum(1, np.abs(time)), side="right")]


def _cell(value: Any, column: str) -> float | None:
    return value.get(column) if isinstance(value, dict) else value
