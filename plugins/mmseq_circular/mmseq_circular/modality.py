"""A modality of numbers that come round again."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field, PositiveFloat

from mmseq.batch import NumericEvents, Timeline
from mmseq.modalities import ModalityConfig, Spec, Stored, check_some_events, modalities
from mmseq.modalities.numbers import NumbersModality
from mmseq.sources import Reading
from mmseq.state import State
from mmseq_circular.angles import angles


class CircularConfig(ModalityConfig):
    kind: Literal["circular"]
    column: str = Field(description="the column of numbers")
    period: PositiveFloat = Field(360.0, description="after how much the numbers are the same again")


class CircularSpec(Spec):
    """What the training split tells.

    Attributes:
        columns: the features of an event.
        read: the column that they are made of.
        period: of its numbers.
        cos, sin: their means.
        spread: the root of the mean variance of the two.
    """

    columns: list[str]
    read: list[str]
    period: float
    cos: float
    sin: float
    spread: float


@modalities.register(CircularConfig)
class CircularModality(NumbersModality):
    """(cos θ - mean cos) / s and (sin θ - mean sin) / s, with θ = 2π x / period: 359° is beside 0°.

    A number that is missing gives zeros. It remembers nothing: fusion knows how old the last event is.
    """

    Spec = CircularSpec

    @classmethod
    def reading(cls, config: CircularConfig) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    @classmethod
    def fit(cls, config: CircularConfig, stored: Stored) -> CircularSpec:
        check_some_events(config.table, stored)
        n, total = 0, np.zeros(2)
        for chunk in stored.chunks():
            values = chunk["values"][:, 0]
            angle = angles(values[~np.isnan(values)], config.period)
            n, total = n + len(angle), total + np.stack([np.cos(angle), np.sin(angle)]).sum(1)
        cos, sin = (total / max(n, 1)).tolist()
        spread = math.sqrt(max((1 - cos**2 - sin**2) / 2, 1e-6))
        columns, read = [f"{config.column}_cos", f"{config.column}_sin"], [config.column]
        return CircularSpec(columns=columns, read=read, period=config.period, cos=cos, sin=sin, spread=spread)

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        angle = events.values.double() * (2 * math.pi / self.spec.period)
        both = torch.cat([angle.cos() - self.spec.cos, angle.sin() - self.spec.sin], 1) / self.spec.spread
        observed = events.observed.expand(-1, 2)
        return NumericEvents(events.step, torch.where(observed, both, 0).to(self.like.dtype), observed), {}
