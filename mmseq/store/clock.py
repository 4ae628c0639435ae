"""One kind of clock for a whole run: numbers in a unit, or moments in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from mmseq.errors import DataError
from mmseq.store.plan import SECONDS, Plan
from mmseq.store.raw import Raw

Clock = Literal["number", "moment"]


def clock_of(plan: Plan, raws: Mapping[str, Raw]) -> Clock:
    """What all times of a run are; where there is no time at all, what `until` is, or numbers.

    Raises:
        DataError: some times are numbers and others moments.
    """
    places: dict[str, str] = {}
    for who, reading in plan.readings():
        raw = raws[reading.table]
        if reading.time is not None and raw.n_rows:  # an empty column is of no kind
            kind = raw.cells[raw.time(reading.time)].kind
            places.setdefault(kind, f"{who} ({raw.table.where}, column {reading.time!r})")
    if len(places) > 1:
        raise DataError(
            "timeline: all times are numbers, or all are dates and times; numbers came in "
            f"{places['clock']} and dates in {places['moment']}; convert one of them"
        )
    is_moment = "moment" in places or (not places and _until_is_moment(plan, raws))
    return "moment" if is_moment else "number"


def _until_is_moment(plan: Plan, raws: Mapping[str, Raw]) -> bool:
    if plan.until_column is None:
        return isinstance(plan.until, str)
    raw = raws[str(plan.samples)]
    return raw.cells[raw.last(plan.until_column)].kind == "last moment"


def moments(
    origin: Int64[np.ndarray, "row"],
    time: Float64[np.ndarray, "row"],
    unit: Literal["seconds", "minutes", "hours", "days"],
) -> Shaped[np.ndarray, "row"]:
    """Dates and times in UTC, as datetime64[us]; NaT of a sample without events, which has no origin.

    Args:
        origin: UTC nanoseconds at which `time` is 0. Without one it is what numpy takes for NaT.
        time: since the origin; float64 tells microseconds apart over some 200 years.
        unit: of `time`.
    """
    passed = np.rint(time * (SECONDS[unit] * 1e6)).astype("timedelta64[us]")
    return (origin.view("datetime64[ns]") + passed + np.timedelta64(500, "ns")).astype("datetime64[us]")
