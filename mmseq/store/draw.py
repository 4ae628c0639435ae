"""Single steps of a modality, from anywhere in a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mmseq.store.gather import Picker, Rows
from mmseq.store.layout import STEP_INDEX, STEP_TIME, index_file, row_file

if TYPE_CHECKING:
    from mmseq.store.read import Store

_NO_STEPS = np.empty(0, np.int32)


@dataclass(frozen=True)
class Drawn:
    """Steps of a modality.

    Attributes:
        sample: of each; with `time` it says which step that is.
        time: of each.
        rows: the events of each; `step` is the draw.
    """

    sample: Int64[np.ndarray, "draw"]
    time: Float64[np.ndarray, "draw"]
    rows: Rows


def begins_step(
    store: Store, name: str, samples: Int64[np.ndarray, "draw"], places: Int64[np.ndarray, "draw"]
) -> Bool[np.ndarray, "draw"]:
    """Whether each event is the first of its step; arguments are those of `steps_of_events`."""
    picker = Picker(store, samples, None)
    index, ones = store.index(index_file(name)), np.ones(len(samples), np.int64)
    first, _ = picker.shelf.span(index)
    step, before = (
        picker.take(picker.shelf.place(index, first + at, ones), row_file(name, "step"), _NO_STEPS)
        for at in (places, np.maximum(places - 1, 0))
    )
    return (places == 0) | (step != before)


def steps_of_events(
    store: Store, name: str, samples: Int64[np.ndarray, "draw"], places: Int64[np.ndarray, "draw"]
) -> Drawn:
    """The steps at which some events stand, with all that the modality has there.

    Args:
        store: where they are.
        name: of the modality, which has a clock.
        samples: of each event.
        places: of each event among its sample's, from 0.
    """
    picker = Picker(store, samples, None)
    index, ones = store.index(index_file(name)), np.ones(len(samples), np.int64)
    first, counts = picker.shelf.span(index)
    event = picker.shelf.place(index, first + places, ones)
    step = picker.take(event, row_file(name, "step"), _NO_STEPS)
    begin, n_events = first + places, ones
    if store.shared_steps(name):
        begin, n_events = _beside(store, name, picker, first, counts, step)
    place = picker.shelf.place(index, begin, n_events)
    at = picker.shelf.place(store.index(STEP_INDEX), picker.first + step, ones)
    draw = np.arange(len(samples)).repeat(n_events)
    rows = Rows(place.starts, draw, picker.arrays(name, place))
    return Drawn(samples, picker.take(at, STEP_TIME, np.empty(0, np.float64)), rows)


def _beside(
    store: Store,
    name: str,
    picker: Picker,
    first: Int64[np.ndarray, "draw"],
    counts: Int64[np.ndarray, "draw"],
    step: np.ndarray,
) -> tuple[Int64[np.ndarray, "draw"], Int64[np.ndarray, "draw"]]:
    """Of each draw, the first event of its step, counted over the store, and how many the step has."""
    file, base = row_file(name, "step"), store.index(index_file(name))[picker.shelf.first_sample]
    begin, n_events = np.empty_like(first), np.empty_like(first)
    for i, (shard, row, n) in enumerate(zip(picker.shelf.shard, first - base, counts, strict=True)):
        steps = store.shard(int(shard))[file][row : row + n]
        low, high = steps.searchsorted(step[i]), steps.searchsorted(step[i], side="right")
        begin[i], n_events[i] = first[i] + low, high - low
    return begin, n_events
