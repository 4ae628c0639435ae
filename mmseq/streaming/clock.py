"""The clocks of live samples: raw times in, the model's times out."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import numpy as np

from mmseq.errors import DataError
from mmseq.model import Model
from mmseq.store.plan import SECONDS, seconds
from mmseq.store.timeline import bin_ends, bin_width

Time = int | float
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LiveClock:
    """When each sample was last heard of, and when its first step was.

    Absolute times are numbers in the timeline's unit, or whole UTC nanoseconds, as in a store.

    Args:
        model: whose training says what times are, and how they are binned.
    """

    def __init__(self, model: Model) -> None:
        timeline = model.experiment.timeline
        self.is_moment = model.facts.clock == "moment"
        self.unit = SECONDS[timeline.unit]
        resolution = None if timeline.resolution is None else seconds(timeline.resolution)
        self.width = bin_width(resolution, self.unit, self.is_moment)
        self.last: dict[str, Time] = {}
        self.origin: dict[str, Time] = {}

    def read(self, id: str, raw: Any) -> Time:
        """The absolute time of what came.

        Raises:
            DataError: it is of another kind than in training, or not later than the sample's last.
        """
        time = self._moment(id, raw) if self.is_moment else self._number(id, raw)
        last = self.last.get(id)
        if last is not None and time <= last:
            raise DataError(
                f"sample {id!r}, time {raw}: must be later than its last, {self.told(last)}; everything of "
                "one time comes in one push"
            )
        return time

    def end(self, time: Time) -> Time:
        """The end of the bin that an absolute time is in; the time itself where there are no bins."""
        if self.width is None:
            return time
        return bin_ends(np.array([time], np.int64 if self.is_moment else np.float64), self.width)[0].item()

    def since_origin(self, id: str, time: Time) -> float:
        """An absolute time as the model counts it."""
        return (time - self.origin.get(id, time)) / (self.unit * 1e9) if self.is_moment else time

    def later(self, time: Time, seconds: Fraction) -> Time:
        """An absolute time so many seconds on, rounded as preparation rounds the ends of windows."""
        if self.is_moment:
            return int(time + (seconds * 10**9 + Fraction(1, 2)) // 1)
        return float(f"{time + seconds.numerator / (seconds.denominator * self.unit):.15g}")

    def grain(self, time: Time) -> Time:
        """By how much a time that is told may be off: a microsecond, or what float64 leaves out."""
        return 1000 if self.is_moment else max(1e-6 / self.unit, 4 * math.ulp(time))

    def told(self, time: Time) -> Any:
        """An absolute time as a prediction table has it."""
        return _EPOCH + timedelta(microseconds=round(time / 1e3)) if self.is_moment else time

    def forget(self, id: str) -> None:
        """The sample's next time may be any."""
        self.last.pop(id, None)
        self.origin.pop(id, None)

    def _number(self, id: str, raw: Any) -> float:
        if isinstance(raw, (int, float, np.number)) and not isinstance(raw, bool):
            with suppress(OverflowError):  # a whole number beyond all floats
                if math.isfinite(raw):
                    return float(raw)
        raise DataError(f"sample {id!r}: a time is a finite number, as in training; came {str(raw)[:60]!r}")

    def _moment(self, id: str, raw: Any) -> int:
        try:
            when = datetime.fromisoformat(raw) if isinstance(raw, str) else raw
        except ValueError:
            when = None
        if not isinstance(when, datetime) or when != when:  # pandas' NaT is a datetime
            raise DataError(
                f"sample {id!r}: a time is a date and time, as in training, such as 2024-05-01T10:00:00Z; "
                f"came {raw!r}"
            )
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
        return (when - _EPOCH) // timedelta(microseconds=1) * 1000
