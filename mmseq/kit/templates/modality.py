"""A number, and how much it has changed since it was last seen."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import earlier, latest, since
from mmseq.modalities import ModalityConfig, modalities
from mmseq.modalities.numbers import NumbersModality
from mmseq.sources import Reading
from mmseq.state import State


class MyKindConfig(ModalityConfig):
    kind: Literal["my_kind"]
    column: str = Field(description="the column of numbers")


@modalities.register(MyKindConfig)
class MyKindModality(NumbersModality):
    """z = (x - mean) / std, filled with its last value, and z - z₀ since the last one, z₀.

    Before a number was seen both are 0, and so is the change of a static number. The base class reads the
    numbers and fits their mean and std. State: see `mmseq.carry.latest`.
    """

    features = ("value", "change")

    @classmethod
    def reading(cls, config: MyKindConfig) -> Reading:
        return Reading(config.table, config.time, numbers=(config.column,))

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        seen, spec = events.observed, self.spec
        z = ((events.values.double() - spec.mean[0]) / spec.std[0]).to(self.like)
        z = torch.where(seen, z, 0)
        if spec.static:
            return _ready(events.step, z, torch.zeros_like(z), seen, seen, seen.to(z) - 1), {}
        value, time, after = latest(z, seen, events.step, timeline, state)
        was, when = earlier(value, time, events.step, timeline, state)
        both = seen & ~when.isnan()
        age = since(timeline.time[events.step][:, None] - time, spec.time_scale).to(z)
        return _ready(events.step, value, torch.where(both, value - was, 0), seen, both, age), after


def _ready(
    step: Tensor, value: Tensor, change: Tensor, seen: Tensor, both: Tensor, age: Tensor
) -> NumericEvents:
    """Values, what is observed of them, and ages, of the two features."""
    return NumericEvents(
        step, torch.cat([value, change], 1), torch.cat([seen, both], 1), torch.cat([age, age], 1)
    )
