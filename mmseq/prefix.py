"""Summaries of steps: over each sample as a whole, and over every prefix of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mmseq.batch import Timeline

Summary = dict[str, Tensor]
"""Named tensors with one row a step or a sample, that summarise the steps up to there."""


def prefix_scan(
    combine: Callable[[Summary, Summary], Summary], steps: Summary, timeline: Timeline
) -> Summary:
    """Summaries of single steps → of each step with all those before it in its sample.

    Doubling: after the pass of distance d, a row stands for the last 2d steps; log2(longest) passes.
    A row reads rows of its own sample alone, and earlier ones alone, so nothing later or beside it
    can change one of its bits.

    Source: Hillis and Steele 1986, "Data parallel algorithms".
    """
    position = torch.arange(timeline.n_steps, device=timeline.starts.device)
    position = position - timeline.starts[timeline.sample]
    distance, longest = 1, max(timeline.lengths_list, default=0)
    while distance < longest:
        later = torch.nonzero(position >= distance)[:, 0]
        earlier = {name: x[later - distance] for name, x in steps.items()}
        combined = combine(earlier, {name: x[later] for name, x in steps.items()})
        steps = {name: x.index_copy(0, later, combined[name]) for name, x in steps.items()}
        distance *= 2
    return steps


def segment_sum(x: Float[Tensor, "step width"], timeline: Timeline) -> Float[Tensor, "sample width"]:
    """Sum over each sample's steps; 0 where it has none."""
    return x.new_zeros(timeline.n_samples, x.shape[1]).index_add(0, timeline.sample, x)


def segment_max(x: Float[Tensor, "step width"], timeline: Timeline) -> Float[Tensor, "sample width"]:
    """Maximum over each sample's steps; the lowest finite number where it has none.

    The gradient goes to the latest of equal steps.
    """
    lowest = torch.finfo(x.dtype).min
    with torch.no_grad():
        sample = timeline.sample[:, None].expand_as(x)
        shape = (timeline.n_samples, x.shape[1])
        top = x.new_full(shape, lowest).scatter_reduce(0, sample, x, "amax")
        step = torch.arange(timeline.n_steps, device=x.device)[:, None]
        step = torch.where(x == top[timeline.sample], step, -1)
        latest = step.new_full(shape, -1).scatter_reduce(0, sample, step, "amax")
    # A row more, for samples without a step; the backward of a gather is many times that of "amax".
    rows = torch.cat([x, x.new_full((1, x.shape[1]), lowest)])
    found = rows.gather(0, torch.where(latest < 0, timeline.n_steps, latest))
    return torch.where(top.isnan(), top, found)
