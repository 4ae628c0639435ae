"""The last values before a step, which baselines predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from mmseq.batch.asked import Asked

if TYPE_CHECKING:
    from mmseq.store import Store
    from mmseq.store.gather import Rows

Known = tuple[Shaped[np.ndarray, "row column"], Bool[np.ndarray, "row column"]]
"""Values in order of time, and which of them are real."""

_STEPS_BACK = 4_096  # read at a time, looking for last values


class LastValues:
    """What is known before each window of some samples; where windows are in order, each step is read once.

    Args:
        store, name: whose events.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        self._known: tuple[tuple[bytes, int | None], int, np.ndarray] | None = None

    def before(
        self, asked: Asked, read: Callable[[Rows, int, int], Known]
    ) -> Float64[np.ndarray, "member column"] | None:
        """The last value of each column before the samples' first steps; None: they begin there.

        Args:
            asked: of which samples, and from which step on.
            read: see `last_before`; what it tells may depend on the seed.
        """
        if not (asked.begin and len(asked.samples)):
            return None
        who, begin, known = (asked.samples.tobytes(), asked.seed), 0, None
        if self._known is not None and self._known[0] == who and self._known[1] < asked.begin:
            _, begin, known = self._known
        known = last_before(self.store, self.name, asked.samples, (begin, asked.begin), read, known)
        self._known = who, asked.begin, known
        return known


def last_before(
    store: Store,
    name: str,
    samples: np.ndarray,
    steps: tuple[int, int],
    read: Callable[[Rows, int, int], Known],
    known: np.ndarray | None = None,
) -> np.ndarray:
    """The last observed value of each column before a step of each sample; NaN where none.

    Reads backwards, and no further than it has to.

    Args:
        store, name: whose events.
        samples: at least one.
        steps: the steps [first, last) to look at; last is at least 1.
        read: some rows of a sample, from a step on, both of which are told → what they hold.
        known: what was known before the first of the steps; None: nothing, as before step 0.
    """
    rows = []
    for i, sample in enumerate(samples):
        end, row = steps[1], None
        while row is None or (end > steps[0] and np.isnan(row).any()):
            window = (max(steps[0], end - _STEPS_BACK), end)
            here = store.gather(np.array([sample]), [name], [], window, times=False).events[name]
            last = _last_rows(*read(here, int(sample), window[0]))
            row = last if row is None else np.where(np.isnan(row), last, row)
            end = window[0]
        rows.append(row if known is None else np.where(np.isnan(row), known[i], row))
    return np.stack(rows)


def _last_rows(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The last observed value of each column; NaN where there is none."""
    values = values.astype(np.float64)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    last = np.where(observed, np.arange(len(values))[:, None], -1).max(0)
    found = np.take_along_axis(values, np.maximum(last, 0)[None], axis=0)[0]
    return np.where(last >= 0, found, np.nan)


def previous_values(
    value: Shaped[np.ndarray, "event column"],
    observed: Bool[np.ndarray, "event column"],
    step: Int64[np.ndarray, "event"],
    where: Int64[np.ndarray, "label"],
    start: Int64[np.ndarray, "label"],
) -> Float64[np.ndarray, "label column"]:
    """The last observed value of each column at or before each step of the same sample; NaN where none.

    Args:
        value, observed, step: of the events, in order.
        where: the steps.
        start: the first step of the sample of each.
    """
    if not len(step):
        return np.full((len(where), value.shape[1]), np.nan)
    last = np.maximum.accumulate(np.where(observed, np.arange(len(step))[:, None], -1), axis=0)
    now = np.searchsorted(step, where, side="right") - 1
    index = np.where((now >= 0)[:, None], last[np.maximum(now, 0)], -1)
    known = (index >= 0) & (step[np.maximum(index, 0)] >= start[:, None])
    found = np.take_along_axis(value, np.maximum(index, 0), axis=0)
    return np.where(known, found, np.nan).astype(np.float64)


def or_before(
    known: Float64[np.ndarray, "label column"],
    before: Float64[np.ndarray, "member column"] | None,
    sample: Int64[np.ndarray, "label"],
) -> Float64[np.ndarray, "label column"]:
    """What is known; where nothing is, what was before the first step of the label's sample."""
    return known if before is None else np.where(np.isnan(known), before[sample], known)
