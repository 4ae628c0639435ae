"""Targets that the inputs themselves provide: a modality's next strictly later step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from mmseq.batch.asked import Asked
from mmseq.batch.events import Events
from mmseq.batch.last_values import Known, LastValues, or_before, previous_values
from mmseq.batch.maker import Given, StoredModality, TargetMaker
from mmseq.batch.target import Target

if TYPE_CHECKING:
    from mmseq.heads import Head
    from mmseq.modalities import Modality, NextEvent
    from mmseq.store import Gathered, Window
    from mmseq.store.gather import Rows


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


def of_next_steps(
    stored: StoredModality,
    given: Given,
    make: Callable[[Asked, Gathered, Events], Target],
    *,
    bare: bool = False,
) -> Target:
    """Targets of a modality's next steps, which after the last steps of a window come after its end.

    Args:
        stored: the modality.
        given: what there is.
        make: the targets of a timeline, with the modality's events.
        bare: their steps alone are enough.
    """
    asked, name = given.asked, stored.name
    if asked.window is None:
        return make(asked, given.gathered, given.events[name])
    gathered, more = stored.store.gather_ahead(asked.samples, name, asked.window, bare)
    target = make(asked, gathered, stored.events(gathered.events[name]))
    after = (gathered.starts[1:] - 1)[more]
    where = target.where.numpy()
    inside = ~np.isin(where, after)
    passed = np.searchsorted(after, where[inside])
    target = target.take(torch.from_numpy(np.flatnonzero(inside)))
    return replace(target, where=torch.from_numpy(where[inside] - passed))


class NextStepTargets(TargetMaker):
    """What a modality with a likelihood has at its next step.

    Args:
        head: weighs it.
        stored: the modality.
        own: predict only from the modality's own steps.
        previous: also tell the last value known at each step, for the baseline.
    """

    def __init__(self, head: Head, stored: StoredModality, *, own: bool, previous: bool) -> None:
        super().__init__(head)
        self.stored, self.own, self.previous = stored, own, previous
        self.last = LastValues(stored.store, stored.name)

    def needs(self, window: Window | None) -> Mapping[str, bool]:
        return {self.stored.name: True} if window is None else {}

    def target(self, given: Given) -> Target:
        return of_next_steps(self.stored, given, self._target)

    def _target(self, asked: Asked, gathered: Gathered, events: Events) -> Target:
        before = self.last.before(asked, self._known) if self.previous else None
        return next_step_target(
            self.stored.modality,
            events,
            gathered.starts,
            gathered.time,
            own=self.own,
            previous=self.previous,
            before=before,
        )

    def _known(self, rows: Rows, sample: int, first: int) -> Known:
        """What some steps hold."""
        first_of_step = np.flatnonzero(np.diff(rows.step, prepend=-1))
        merged = self.stored.modality.next_event(self.stored.events(rows), first_of_step)
        return merged.value, _all_real(merged)


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
        before: what was known of each sample before its first step here, see `LastValues`.
    """
    after = following(events.step.numpy(), starts, time, own=own)
    merged = modality.next_event(events, after.first)
    known = None
    if previous:
        observed = _all_real(merged)
        known = previous_values(merged.value, observed, after.present, after.where, starts[after.sample])
        known = or_before(known, before, after.sample)
    return Target(
        torch.from_numpy(after.where),
        torch.from_numpy(merged.value[after.row]),
        None if merged.observed is None else torch.from_numpy(merged.observed[after.row]),
        previous=None if known is None else torch.from_numpy(known),
        wait=torch.from_numpy(after.wait),
    )


def _all_real(merged: NextEvent) -> Bool[np.ndarray, "row column"]:
    """Which values are real."""
    return np.ones(merged.value.shape, bool) if merged.observed is None else merged.observed
