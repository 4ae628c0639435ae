"""The least and the greatest value so far."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.carry import after_last, one_each
from mmseq.prefix import Summary, prefix_scan
from mmseq.state import State, tensors


def extremes(
    values: Float[Tensor, "event feature"],
    observed: Bool[Tensor, "event feature"],
    step: Int64[Tensor, "event"],
    timeline: Timeline,
    state: State | None,
) -> tuple[Float[Tensor, "event extreme"], Float[Tensor, "event extreme"], State]:
    """The least value of each feature up to and with the step of each event, then the greatest of each.

    All events of a step are told the same.

    Args:
        values, observed, step: of the events, in order.
        timeline: of the call.
        state: what an earlier call returned.

    Returns:
        values, 0 before the first that is observed; the times when they were reached, of equal values the
        latest, NaN before the first; and the state after the last event: `value` and `time`, (sample,
        extreme) each, where greatest values are negative, and what there is not yet is infinite.
    """
    seen, both = torch.cat([observed, observed], 1), torch.cat([values, -values], 1)
    none = both.new_full((), torch.inf)
    least, row, steps = torch.where(seen, both, none), step, timeline
    if not one_each(step, timeline):
        at, row = torch.unique_consecutive(step, return_inverse=True)
        index, shape = row[:, None].expand_as(both), (len(at), both.shape[1])
        least = none.expand(shape).scatter_reduce(0, index, least, "amin")
        steps = Timeline(torch.searchsorted(at, timeline.starts), timeline.time[at], timeline.delta[at])
    time = torch.where(least < none, steps.time[:, None], torch.nan)
    if state is None:
        rows = (timeline.n_samples, both.shape[1])
        state = {"value": none.expand(rows), "time": timeline.time.new_full(rows, torch.nan)}
    before = tensors(state)
    known = prefix_scan(_lesser, {"value": least, "time": time}, steps)
    known = _lesser({name: x[steps.sample] for name, x in before.items()}, known)
    after = after_last(known["value"], known["time"], steps.starts, before)
    low, high = torch.where(known["value"] < none, known["value"], 0).chunk(2, 1)
    return torch.cat([low, -high], 1)[row], known["time"][row], after


def _lesser(earlier: Summary, later: Summary) -> Summary:
    """The lesser values of both, and when they were."""
    stays = earlier["value"] < later["value"]
    return {name: torch.where(stays, earlier[name], later[name]) for name in later}
