"""Per sample: which rows of each modality and task the store keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from duckdb import DuckDBPyConnection
from jaxtyping import Int64

from mmseq.store.content import Content
from mmseq.store.timeline import TOLERANCE, bin_ends
from mmseq.store.window import Bound, Window, span_of

Counts = dict[str, int]


@dataclass
class Bounds:
    """What is kept, by modality and task.

    Attributes:
        windows: the times between which rows are kept.
        counts: rows that each sample keeps.
        report: how many rows were read, and why some were dropped.
    """

    windows: dict[str, Window] = field(default_factory=dict)
    counts: dict[str, Int64[np.ndarray, "sample"]] = field(default_factory=dict)
    report: dict[str, Counts] = field(default_factory=dict)


def find_bounds(
    connection: DuckDBPyConnection,
    modalities: Mapping[str, Content],
    tasks: Mapping[str, Content],
    until: Bound,
    anchor: str | None,
    width: float | None,
) -> Bounds:
    """Events count until `until`, and until the anchor's last step; labels count from the first step.

    Args:
        until: each sample's last time.
        width: of a bin, in the unit of the times.
    """
    bounds = Bounds()
    low, high = _limits(until)
    window = anchored = Window.create(connection, "window_events", np.full_like(until, low), until)
    first = np.full_like(until, high)
    for content in sorted(modalities.values(), key=lambda c: c.name != anchor):
        span = span_of(connection, content, window, until)
        kept, mine = span, window
        if content.name == anchor:
            end = np.where(span.counts > 0, _just_after(bin_ends(span.last, width), width), low)
            end = np.minimum(until, end).astype(until.dtype)
            anchored = Window.create(connection, "window_anchored", np.full_like(until, low), end)
        elif anchor is not None and content.time is not None:
            mine = anchored
            kept = span_of(connection, content, mine, until)
        if content.time is not None and anchor in (None, content.name):
            first = np.where(kept.counts > 0, np.minimum(first, kept.first), first)
        bounds.windows[content.name], bounds.counts[content.name] = mine, kept.counts
        bounds.report[content.name] = {
            "rows": span.n_rows,
            "of absent samples": span.n_rows - span.n_present,
            "after until": span.n_present - span.n_inside,
            "after the last anchor": span.n_inside - kept.n_inside,
        }
    nothing = 0 if until.dtype.kind == "f" else low  # a sample without events has one step, at 0
    first = np.where(first == high, nothing, bin_ends(np.where(first == high, 0, first), width))
    _bound_labels(connection, bounds, tasks, first.astype(until.dtype), until)
    return bounds


def _bound_labels(
    connection: DuckDBPyConnection, bounds: Bounds, tasks: Mapping[str, Content], first: Bound, until: Bound
) -> None:
    """Labels after `until` are kept: what is predicted may well be later than all that is known."""
    timely = Window.create(connection, "window_timely", first, until)
    window = Window.create(connection, "window_labels", first, np.full_like(first, _limits(first)[1]))
    for content in tasks.values():
        span = span_of(connection, content, window, first)
        bounds.windows[content.name], bounds.counts[content.name] = window, span.counts
        bounds.report[content.name] = {
            "rows": span.n_rows,
            "of absent samples": span.n_rows - span.n_present,
            "before the first step": span.n_present - span.n_inside,
            "kept after until": span.n_inside - span_of(connection, content, timely, first).n_inside,
        }


def _limits(like: Bound) -> tuple[int, int] | tuple[float, float]:
    if like.dtype.kind == "i":
        return np.iinfo(np.int64).min, np.iinfo(np.int64).max
    return -np.inf, np.inf


def _just_after(end: Bound, width: float | None) -> Bound:
    """A float that `bin_ends` takes for a bound may be a rounding error above it."""
    if width is None or end.dtype.kind == "i":
        return end
    return end + 0.5 * TOLERANCE * np.maximum(width, np.abs(end))
