"""Less memory for more time: activations that are worked out again when the gradient needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmseq.batch import Events, Timeline
from mmseq.state import State

if TYPE_CHECKING:
    from mmseq.model import Model


def encode_by_segments(
    model: Model, events: Mapping[str, Events], timeline: Timeline, state: State | None, size: int
) -> tuple[Float[Tensor, "step hidden"], State]:
    """`Model.encode`, of which only the states between segments of `size` steps are kept for the gradient.

    Source: Chen et al. 2016, "Training deep nets with sublinear memory cost", section 4.
    """
    longest = max(timeline.lengths_list, default=0)
    n_segments = max(-(-longest // size), 1)
    place = torch.arange(timeline.n_steps, device=timeline.starts.device) - timeline.starts[timeline.sample]
    segment = place // size
    steps, new = _sorted(segment, n_segments)
    parts = {
        name: _sorted(segment[whole.step], n_segments)[0]
        for name, whole in events.items()
        if name not in model.static
    }
    hidden, after = [], state
    for i, where in enumerate(steps):
        part = _segment(timeline, where, i * size, size, timeline.continues or i + 1 < n_segments)
        mine = {
            name: _take(whole, parts[name][i], new) if name in parts else whole
            for name, whole in events.items()
        }
        encoded, after = checkpoint(model.encode, mine, part, after, use_reentrant=False)
        hidden.append(encoded)
    assert after is not None
    order = torch.cat(steps)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return torch.cat(hidden).index_select(0, back), after


def _sorted(
    segment: Int64[Tensor, "row"], n_segments: int
) -> tuple[list[Int64[Tensor, "_part"]], Int64[Tensor, "row"]]:
    """The rows of each segment, in order; and the place of each row in its segment."""
    order = segment.argsort(stable=True)
    counts = torch.bincount(segment, minlength=n_segments)
    begin = (counts.cumsum(0) - counts)[segment[order]]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device) - begin
    return list(order.split(counts.tolist())), place


def _segment(
    timeline: Timeline, where: Int64[Tensor, "part"], begin: int, size: int, continues: bool
) -> Timeline:
    """The timeline of these steps, those from place `begin` on of each sample."""
    counts = timeline.lengths.clamp(begin, begin + size) - begin
    return replace(
        timeline,
        starts=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        time=timeline.time[where],
        delta=timeline.delta[where],
        continues=continues,
        marks={name: mark[where] for name, mark in timeline.marks.items()},
    )


def _take(events: Events, rows: Int64[Tensor, "part"], new: Int64[Tensor, "step"]) -> Events:
    """Some events, at their steps' places in the segment."""
    part = events.take(rows)
    return replace(part, step=new[part.step])
