"""A number, and how much it has changed since it was last seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import earlier, latest, since
from mmseq.errors import DataError
from mmseq.modalities import Arrays, Modality, ModalityConfig, Spec, Stored, cells_of, modalities
from mmseq.sources import Reading
from mmseq.state import State


class MyKindColumns(ModalityConfig):
    """What is read and fitted; a field of the config below would go to the constructor."""

    column: str = Field(description="the column of numbers")


class MyKindConfig(MyKindColumns):
    kind: Literal["my_kind"]


class MyKindSpec(Spec):
    """What the training split tells.

    Attributes:
        columns: the features of an event: the number and its change.
        mean, std: of the numbers.
        time_scale: a typical time between steps.
        static: numbers belong to the sample, not to a time.
    """

    columns: list[str]
    mean: float
    std: float
    time_scale: float
    static: bool


@modalities.register(MyKindConfig)
class MyKindModality(Modality):
    """z = (x - mean) / std, filled with its last value, and z - z₀ since the last one, z₀.

    Before a number was seen both are 0, and so is the change of a static number. State: see
    `mmseq.carry.latest`.
    """

    Spec = MyKindSpec
    gives = NumericEvents
    default_encoder = "linear"

    def __init__(self, spec: MyKindSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def reading(cls, config: MyKindConfig) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    @classmethod
    def fit(cls, config: MyKindConfig, stored: Stored) -> MyKindSpec:
        if stored.n_events == 0:
            raise DataError(f"{config.table}: needs events in the training split; it has none; look at ids")
        n, total, squares = 0, 0.0, 0.0
        for chunk in stored.chunks():
            values = chunk["values"][:, 0].astype(np.float64)
            values = values[~np.isnan(values)]
            n, total = n + len(values), total + float(values.sum())
            squares += float((values**2).sum())
        mean = total / max(n, 1)
        std = math.sqrt(max(squares / max(n, 1) - mean**2, 0.0)) or 1.0
        columns = [config.column, f"{config.column}_change"]
        static = config.time is None
        return MyKindSpec(columns=columns, mean=mean, std=std, time_scale=stored.time_scale, static=static)

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> NumericEvents:
        values = torch.from_numpy(arrays["values"])
        return NumericEvents(step, values.nan_to_num(0.0), ~values.isnan())

    def parse(self, step: Tensor, values: Sequence[Any]) -> NumericEvents:
        cells = [_number(cell) for value in values for cell in cells_of(value, self.spec.columns[:1])]
        return self.events(step, {"values": np.array(cells, np.float64).reshape(-1, 1)}, ())

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        seen = events.observed
        z = ((events.values.double() - self.spec.mean) / self.spec.std).to(self.like.dtype)
        z = torch.where(seen, z, 0)
        if self.spec.static:
            age = seen.to(z.dtype) - 1
            return NumericEvents(events.step, *_both(z, torch.zeros_like(z), seen, seen, age)), {}
        value, time, after = latest(z, seen, events.step, timeline, state)
        was, when = earlier(value, time, events.step, timeline, state)
        both = seen & ~when.isnan()
        change = torch.where(both, value - was, 0)
        age = since(timeline.time[events.step][:, None] - time, self.spec.time_scale).to(z.dtype)
        return NumericEvents(events.step, *_both(value, change, seen, both, age)), after


def _both(value: Tensor, change: Tensor, seen: Tensor, both: Tensor, age: Tensor) -> tuple[Tensor, ...]:
    """Values, what is observed of them, and ages, of the two features."""
    return torch.cat([value, change], 1), torch.cat([seen, both], 1), torch.cat([age, age], 1)


def _number(cell: Any) -> float:
    if cell is None:
        return math.nan
    if isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool) and math.isfinite(cell):
        return float(cell)
    raise DataError(f"{str(cell)[:60]!r}: a value must be a finite number, or None where it is missing")
