from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import earlier, latest, since
from mmseq.modalities import Modality, ModalityConfig, Spec, Stored, cells_of, check_some_events, modalities
from mmseq.modalities.cells import number_cell
from mmseq.modalities.moments import summary
from mmseq.modalities.numeric import NumericModality
from mmseq.sources import Reading
from mmseq.state import State


class GpsColumns(ModalityConfig):
    time: str
    lat: str = "lat"
    lon: str = "lon"


class GpsConfig(GpsColumns):
    kind: Literal["gps"]


class GpsSpec(Spec):
    columns: tuple[str, ...] = ("north", "east", "speed", "heading_north", "heading_east")
    raw: tuple[str, str]
    centre: tuple[float, float]
    spread: float
    time_scale: float


@modalities.register(GpsConfig)
class GpsModality(Modality):
    """Fixes in degrees → their places, in spreads of all tracks; speed and heading since the fix before."""

    Spec, gives, default_encoder = GpsSpec, NumericEvents, "linear"
    events = NumericModality.events  # arrays, NaN where missing → values and what is observed of them

    def __init__(self, spec: GpsSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def reading(cls, config: Any) -> Reading:
        return Reading(config.table, config.time, numbers=(config.lat, config.lon))

    @classmethod
    def fit(cls, config: Any, stored: Stored) -> GpsSpec:
        check_some_events(config.table, stored)
        centre, std, _ = summary(stored, None, None)
        facts = {
            "centre": tuple(centre.tolist()),
            "spread": float(std.max()),
            "time_scale": stored.time_scale,
        }
        return GpsSpec(raw=(config.lat, config.lon), **facts)

    def parse(self, step: Tensor, values: Any) -> NumericEvents:
        rows = [[number_cell(cell) for cell in cells_of(value, self.spec.raw)] for value in values]
        return self.events(step, {"values": np.array(rows, np.float64).reshape(-1, 2)}, ())

    def forward(self, events: Any, timeline: Timeline, state: State | None = None) -> tuple[Any, State]:
        seen = events.observed.all(1, keepdim=True).expand(-1, 2)
        fix, time, after = latest(events.values.double(), seen, events.step, timeline, state)
        was, when = earlier(fix, time, events.step, timeline, state)
        passed = timeline.time[events.step][:, None] - when
        moved = (seen & (passed > 0))[:, :1]  # a second fix at the same time says nothing of speed
        way = torch.where(moved, self.spreads(was, fix), 0)
        length = way.norm(dim=1, keepdim=True)
        speed = torch.where(moved, length * self.spec.time_scale / passed[:, :1], 0).log1p()
        place = torch.where(time.isnan(), 0, self.spreads(fix.new_tensor(self.spec.centre), fix))
        values = torch.cat([place, speed, way / length.clamp(min=1e-12)], 1).to(self.like.dtype)
        age = since(timeline.time[events.step] - time[:, 0], self.spec.time_scale)[:, None].expand_as(values)
        observed = torch.cat([seen, moved.expand(-1, 3)], 1)
        return NumericEvents(events.step, values, observed, age.to(values.dtype)), after

    def spreads(self, start: Tensor, end: Tensor) -> Tensor:
        """The way north and east, the short way round; a degree of longitude is less near a pole."""
        north, east = (end - start).unbind(1)
        east = ((east + 180) % 360 - 180) * end[:, 0].deg2rad().cos()
        return torch.stack([north, east], 1) / self.spec.spread
