"""Targets that the inputs themselves provide: a modality's next strictly later step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from mmseq.batch.events import Events
from mmseq.batch.target import Target

if TYPE_CHECKING:
    from mmseq.modalities import Modality, NextEvent


def next_step_target(
    modality: Modality, events: Events, starts: np.ndarray, time: np.ndarray, *, own: bool, previous: bool
) -> Target:
    """What comes next after each step that has a later event of the modality.

    Args:
        modality: whose events are predicted.
        events: all of them, as stored.
        starts, time: the batch's timeline.
        own: predict only from the modality's own steps.
        previous: also tell the last value known at each step, for the baseline.
    """
    step = events.step.numpy()
    first = np.flatnonzero(np.diff(step, prepend=-1))
    present = step[first]
    merged = modality.next_event(events, first)
    sample = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    steps = present if own else np.arange(len(time))
    following = np.searchsorted(present, steps, side="right")
    ends = starts[1:][sample[steps]]
    has_next = np.append(present, len(time))[following] < ends
    where, following = steps[has_next], following[has_next]
    observed = None if merged.observed is None else torch.from_numpy(merged.observed[following])
    return Target(
        torch.from_numpy(where),
        torch.from_numpy(merged.value[following]),
        observed,
        previous=_previous(merged, present, where, starts[sample[where]]) if previous else None,
        wait=torch.from_numpy(time[present[following]] - time[where]),
    )


def _previous(merged: NextEvent, present: np.ndarray, where: np.ndarray, start: np.ndarray) -> torch.Tensor:
    """The last observed value of each column at or before each step of the same sample; NaN where none."""
    if not len(present):
        return torch.full((len(where), merged.value.shape[1]), torch.nan, dtype=torch.float64)
    observed = np.ones(merged.value.shape, bool) if merged.observed is None else merged.observed
    last = np.maximum.accumulate(np.where(observed, np.arange(len(present))[:, None], -1), axis=0)
    now = np.searchsorted(present, where, side="right") - 1
    index = np.where((now >= 0)[:, None], last[np.maximum(now, 0)], -1)
    known = (index >= 0) & (present[np.maximum(index, 0)] >= start[:, None])
    value = np.take_along_axis(merged.value, np.maximum(index, 0), axis=0)
    return torch.from_numpy(np.where(known, value, np.nan).astype(np.float64))
