"""Times → steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64, Num

Times = Num[np.ndarray, "_"]
Samples = Int64[np.ndarray, "_"]

TOLERANCE = 1e-9


def bin_ends(time: Times, width: float | None) -> Times:
    """The end of the bin that each time is in; a time on a bound is in the bin that ends there.

    Args:
        time: numbers, or int64 nanoseconds.
        width: of a bin, in the unit of `time`; None: no bins.
    """
    if width is None:
        return time
    if time.dtype.kind == "i":
        whole = round(width)
        return -(-time // whole) * whole
    count = time / width
    nearest = np.rint(count)  # 1.1 / 0.1 is 11.000000000000002, and is bin 11 all the same
    on_bound = np.abs(count - nearest) <= TOLERANCE * np.maximum(1, np.abs(nearest))
    return np.where(on_bound, nearest, np.ceil(count)) * width


def bin_width(resolution: float | None, unit: int, is_moment: bool) -> float | None:
    """Seconds of a bin → in the unit of absolute times: nanoseconds of moments, else `unit` seconds."""
    return None if resolution is None else resolution * (1e9 if is_moment else 1 / unit)


@dataclass(frozen=True)
class Steps:
    """The merged clocks of some samples.

    Attributes:
        starts: first step of each sample, and the number of steps at the end.
        time: of each step, absolute.
    """

    starts: Int64[np.ndarray, "bound"]
    time: Num[np.ndarray, "step"]

    def search(self, sample: Samples, time: Times, side: Literal["left", "right"]) -> Samples:
        """Per event, how many steps of its sample are before its time (`right`: or at it)."""
        low, high = self.starts[sample], self.starts[sample + 1]
        for _ in range(int(np.diff(self.starts).max(initial=0)).bit_length()):
            middle = np.minimum((low + high) // 2, len(self.time) - 1)
            before = self.time[middle] < time if side == "left" else self.time[middle] <= time
            before &= low < high
            low, high = np.where(before, middle + 1, low), np.where(before, high, middle)
        return low - self.starts[sample]


def merge(n_samples: int, clocks: Sequence[tuple[Samples, Times]]) -> tuple[Steps, list[Samples]]:
    """The sorted union of several clocks, each sorted by sample and time; and each event's step.

    A sample without any event has one step, at time 0. An event's step is counted within its sample.
    """
    n_events = sum((np.bincount(s, minlength=n_samples) for s, _ in clocks), np.zeros(n_samples, np.int64))
    empty = np.flatnonzero(n_events == 0)
    dtype = clocks[0][1].dtype if clocks else np.dtype(np.float64)
    sample = np.concatenate([*(s for s, _ in clocks), empty])
    time = np.concatenate([*(t for _, t in clocks), np.zeros(len(empty), dtype)])
    order = np.lexsort((time, sample)) if len(clocks) > 1 or len(empty) else slice(None)
    sorted_sample, sorted_time = sample[order], time[order]
    new = np.ones(len(sample), bool)
    new[1:] = (sorted_sample[1:] != sorted_sample[:-1]) | (sorted_time[1:] != sorted_time[:-1])
    lengths = np.bincount(sorted_sample[new], minlength=n_samples)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    step = np.empty(len(sample), np.int64)
    step[order] = np.cumsum(new) - 1
    step -= starts[sample]
    bounds = np.cumsum([len(s) for s, _ in clocks])
    return Steps(starts, sorted_time[new]), np.split(step, bounds)[: len(clocks)]
