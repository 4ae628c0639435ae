from typing import Any, Literal

import torch
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import earlier, latest, since
from mmseq.modalities import ModalityConfig, modalities
from mmseq.modalities.numbers import NumbersModality
from mmseq.sources import Reading
from mmseq.state import State


class GpsConfig(ModalityConfig):
    kind: Literal["gps"]
    time: str
    lat: str = "lat"
    lon: str = "lon"


@modalities.register(GpsConfig)
class GpsModality(NumbersModality):
    """Fixes in degrees → their places, in spreads of all tracks; speed and heading since the fix before."""

    features = ("north", "east", "speed", "heading_north", "heading_east")

    @classmethod
    def reading(cls, config: Any) -> Reading:
        return Reading(config.table, config.time, numbers=(config.lat, config.lon))

    def forward(self, events: Any, timeline: Timeline, state: State | None = None) -> tuple[Any, State]:
        now, scale = timeline.time[events.step][:, None], self.spec.time_scale
        seen = events.observed.all(1, keepdim=True)
        fix, time, after = latest(events.values.double(), seen.expand(-1, 2), events.step, timeline, state)
        was, when = earlier(fix, time, events.step, timeline, state)
        when = when[:, :1]
        moved = seen & (now > when)  # a second fix at the same time says nothing of speed
        way = torch.where(moved, self.spreads(was, fix), 0)
        length = way.norm(dim=1, keepdim=True)
        speed = torch.where(moved, length * scale / (now - when), 0).log1p()
        place = torch.where(time.isnan(), 0, self.spreads(fix.new_tensor(self.spec.mean), fix))
        values = torch.cat([place, speed, way / length.clamp(min=1e-12)], 1).to(self.like)
        observed = torch.cat([seen, seen, moved, moved, moved], 1)
        age = since(now - time[:, :1], scale).to(values).expand_as(values)
        return NumericEvents(events.step, values, observed, age), after

    def spreads(self, start: Tensor, end: Tensor) -> Tensor:
        """The way north and east, the short way round; a degree of longitude is less near a pole."""
        north, east = (end - start).unbind(1)
        east = ((east + 180) % 360 - 180) * end[:, 0].deg2rad().cos()
        return torch.stack([north, east], 1) / max(self.spec.std)
