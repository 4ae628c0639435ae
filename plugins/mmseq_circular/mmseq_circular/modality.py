"""A modality of numbers that come round again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.modalities import (
    Arrays,
    Modality,
    ModalityConfig,
    Spec,
    Stored,
    cells_of,
    check_some_events,
    modalities,
)
from mmseq.modalities.cells import number_cell
from mmseq.sources import Reading
from mmseq.state import State
from mmseq_circular.angles import angles


class CircularColumns(ModalityConfig):
    """What is read and fitted."""

    column: str = Field(description="the column of numbers")
    period: PositiveFloat = Field(360.0, description="after how much the numbers are the same again")


class CircularConfig(CircularColumns):
    kind: Literal["circular"]


class CircularSpec(Spec):
    """What the training split tells.

    Attributes:
        columns: the features of an event.
        column: that is read.
        period: of its numbers.
        cos, sin: their means.
        spread: the root of the mean variance of the two.
    """

    columns: list[str]
    column: str
    period: float
    cos: float
    sin: float
    spread: float


@modalities.register(CircularConfig)
class CircularModality(Modality):
    """(cos θ - mean cos) / s and (sin θ - mean sin) / s, with θ = 2π x / period: 359° is beside 0°.

    A number that is missing gives zeros. It remembers nothing: fusion knows how old the last event is.
    """

    Spec = CircularSpec
    gives = NumericEvents
    default_encoder = "linear"

    def __init__(self, spec: CircularSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def reading(cls, config: CircularColumns) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    @classmethod
    def fit(cls, config: CircularColumns, stored: Stored) -> CircularSpec:
        check_some_events(config.table, stored)
        n, total = 0, np.zeros(2)
        for chunk in stored.chunks():
            values = chunk["values"][:, 0]
            angle = angles(values[~np.isnan(values)], config.period)
            n, total = n + len(angle), total + np.stack([np.cos(angle), np.sin(angle)]).sum(1)
        cos, sin = (total / max(n, 1)).tolist()
        spread = math.sqrt(max((1 - cos**2 - sin**2) / 2, 1e-6))
        name, columns = config.column, [f"{config.column}_cos", f"{config.column}_sin"]
        return CircularSpec(
            columns=columns, column=name, period=config.period, cos=cos, sin=sin, spread=spread
        )

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> NumericEvents:
        values = torch.from_numpy(arrays["values"])
        return NumericEvents(step, values.nan_to_num(0.0), ~values.isnan())

    def parse(self, step: Tensor, values: Sequence[Any]) -> NumericEvents:
        cells = [number_cell(cell) for value in values for cell in cells_of(value, [self.spec.column])]
        return self.events(step, {"values": np.array(cells, np.float64).reshape(-1, 1)}, ())

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        angle = events.values.double() * (2 * math.pi / self.spec.period)
        both = torch.cat([angle.cos() - self.spec.cos, angle.sin() - self.spec.sin], 1) / self.spec.spread
        observed = events.observed.expand(-1, 2)
        return NumericEvents(events.step, torch.where(observed, both, 0).to(self.like.dtype), observed), {}
