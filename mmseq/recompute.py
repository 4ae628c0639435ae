"""Less memory for more time: activations that are worked out again when the gradient needs them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    hidden, places, after = [], [], state
    for begin in range(0, max(longest, 1), size):
        steps, where = _segment(timeline, begin, begin + size, timeline.continues or begin + size < longest)
        part = _events(events, model.static, where, timeline.n_steps)
        encoded, after = checkpoint(model.encode, part, steps, after, use_reentrant=False)
        hidden.append(encoded)
        places.append(where)
    back = torch.empty_like(order := torch.cat(places))
    back[order] = torch.arange(len(order), device=order.device)
    assert after is not None
    return torch.cat(hidden).index_select(0, back), after


def _segment(
    timeline: Timeline, begin: int, end: int, continues: bool
) -> tuple[Timeline, Int64[Tensor, "part"]]:
    """The steps [begin, end) of each sample, and where they stand."""
    place = torch.arange(timeline.n_steps, device=timeline.starts.device) - timeline.starts[timeline.sample]
    where = torch.nonzero((place >= begin) & (place < end))[:, 0]
    counts = timeline.lengths.clamp(begin, end) - begin
    part = replace(
        timeline,
        starts=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        time=timeline.time[where],
        delta=timeline.delta[where],
        continues=continues,
        marks={name: mark[where] for name, mark in timeline.marks.items()},
    )
    return part, where


def _events(
    events: Mapping[str, Events], static: Collection[str], where: Int64[Tensor, "part"], n_steps: int
) -> dict[str, Any]:
    """The events at these steps, which become 0, 1, …; static ones as they are."""
    new = torch.full((n_steps,), -1, device=where.device)
    new[where] = torch.arange(len(where), device=where.device)
    found: dict[str, Any] = {}
    for name, whole in events.items():
        found[name] = whole
        if name not in static:
            part = whole.take(torch.nonzero(new[whole.step] >= 0)[:, 0])
            found[name] = replace(part, step=new[part.step])
    return found
