"""Targets that the inputs themselves provide: a modality's next strictly later step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64, Shaped

from mmseq.batch.events import Events
from mmseq.batch.target import Target

if TYPE_CHECKING:
    from mmseq.modalities import Modality, NextEvent
    from mmseq.store import Store
    from mmseq.store.gather import Rows

Known = tuple[Shaped[np.ndarray, "row column"], Bool[np.ndarray, "row column"]]
"""Values in order of time, and which of them are real."""

_STEPS_BACK = 4_096  # read at a time, looking for last values


@dataclass(frozen=True)
class Following:
    """The steps that have a later event of a modality, and where that is.

    Attributes:
        where: these steps.
        sample: of each.
        row: of each, the step that follows, counted over `present`.
        wait: of each, the time until then.
        present: steps at which the modality has events.
        first: the first event of each of those.
    """

    where: Int64[np.ndarray, "label"]
    sample: Int64[np.ndarray, "label"]
    row: Int64[np.ndarray, "label"]
    wait: Float64[np.ndarray, "label"]
    present: Int64[np.ndarray, "present"]
    first: Int64[np.ndarray, "present"]


def following(
    step: Int64[np.ndarray, "event"],
    starts: Int64[np.ndarray, "bound"],
    time: Float64[np.ndarray, "step"],
    *,
    own: bool,
) -> Following:
    """What comes next after each step that has a later event.

    Args:
        step: of each event of the modality.
        starts, time: the timeline.
        own: only after the modality's own steps.
    """
    first = np.flatnonzero(np.diff(step, prepend=-1))
    present = step[first]
    sample = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    where = present if own else np.arange(len(time))
    row = np.searchsorted(present, where, side="right")
    has_next = np.append(present, len(time))[row] < starts[1:][sample[where]]
    where, row = where[has_next], row[has_next]
    return Following(where, sample[where], row, time[present[row]] - time[where], present, first)


def next_step_target(
    modality: Modality,
    events: Events,
    starts: np.ndarray,
    time: np.ndarray,
    *,
    own: bool,
    previous: bool,
    before: np.ndarray | None = None,
) -> Target:
    """What comes next after each step that has a later event of the modality.

    Args:
        modality: whose events are predicted.
        events: all of them, as stored.
        starts, time: the batch's timeline.
        own: predict only from the modality's own steps.
        previous: also tell the last value known at each step, for the baseline.
        before: what was known of each sample before its first step here, see `last_before`.
    """
    after = following(events.step.numpy(), starts, time, own=own)
    merged = modality.next_event(events, after.first)
    known = None
    if previous:
        observed = _all_real(merged)
        known = previous_values(merged.value, observed, after.present, after.where, starts[after.sample])
        if before is not None:
            known = np.where(np.isnan(known), before[after.sample], known)
    return Target(
        torch.from_numpy(after.where),
        torch.from_numpy(merged.value[after.row]),
        None if merged.observed is None else torch.from_numpy(merged.observed[after.row]),
        previous=None if known is None else torch.from_numpy(known),
        wait=torch.from_numpy(after.wait),
    )


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


def merged_steps(modality: Modality, vocabularies: tuple[tuple[str, ...], ...]) -> Callable[..., Known]:
    """Reads what a modality's steps hold, for `last_before`."""

    def read(rows: Rows, sample: int, first: int) -> Known:
        events = modality.events(torch.from_numpy(rows.step), rows.arrays, vocabularies)
        merged = modality.next_event(events, np.flatnonzero(np.diff(rows.step, prepend=-1)))
        return merged.value, _all_real(merged)

    return read


def _last_rows(values: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """The last observed value of each column; NaN where there is none."""
    values = values.astype(np.float64)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    last = np.where(observed, np.arange(len(values))[:, None], -1).max(0)
    found = np.take_along_axis(values, np.maximum(last, 0)[None], axis=0)[0]
    return np.where(last >= 0, found, np.nan)


def _all_real(merged: NextEvent) -> Bool[np.ndarray, "row column"]:
    """Which values are real."""
    return np.ones(merged.value.shape, bool) if merged.observed is None else merged.observed


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
