"""Timelines to test with, and parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Int64
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.random import Noise

# Empty, shortest, equal and very unequal samples all occur in any dozen of these.
LENGTHS = (5, 0, 1, 12, 3, 3, 0, 1, 7, 25, 2, 12)


def random_timeline(
    lengths: Sequence[int],
    generator: torch.Generator,
    *,
    continues: bool = False,
    noise: int | None = None,
    marks: Sequence[str] = (),
) -> Timeline:
    """Samples of these lengths with irregular times.

    Args:
        lengths: steps of each sample.
        generator: draws the times, so that they don't depend on what else was drawn.
        continues: see `Timeline`.
        noise: seed of dropout masks; None is evaluation.
        marks: modalities whose codes change now and then.
    """
    starts = torch.tensor([0, *lengths], dtype=torch.int64).cumsum(0)
    gaps = torch.empty(int(starts[-1]), dtype=torch.float64).exponential_(generator=generator) + 0.01
    first = starts[:-1][starts.diff() > 0]
    delta = gaps.index_fill(0, first, 0.0)
    elapsed = gaps.cumsum(0)
    origin = (elapsed - gaps)[first].repeat_interleave(starts.diff()[starts.diff() > 0])
    key = torch.arange(1, len(lengths) + 1) * 7919
    source = None if noise is None else Noise(noise, key)
    changes = {name: torch.rand(len(gaps), generator=generator) < 0.3 for name in marks}
    return Timeline(starts, elapsed - origin, delta.float(), continues, source, changes)


def take_steps(
    timeline: Timeline, begin: Sequence[int], end: Sequence[int]
) -> tuple[Timeline, Int64[Tensor, "part"]]:
    """Steps [begin, end) of each sample as a call that continues, and where those steps stand."""
    starts = timeline.starts.tolist()
    ranges = [range(start + a, start + b) for start, a, b in zip(starts, begin, end, strict=False)]
    return _part(timeline, ranges, timeline.noise, True)


def take_samples(timeline: Timeline, samples: Sequence[int]) -> tuple[Timeline, Int64[Tensor, "part"]]:
    """These samples in this order, and where their steps stand."""
    starts = timeline.starts.tolist()
    ranges = [range(starts[i], starts[i + 1]) for i in samples]
    noise = timeline.noise
    if noise is not None:
        noise = replace(noise, key=noise.key[torch.tensor(samples, dtype=torch.int64)])
    return _part(timeline, ranges, noise, timeline.continues)


def chunks(timeline: Timeline, size: int) -> list[tuple[Timeline, Int64[Tensor, "part"]]]:
    """All steps, at most `size` of each sample at a time; samples that have ended stay, with no steps.

    Chunks of odd samples begin one step earlier, so that samples don't stand at the same step.
    """
    lengths = timeline.lengths_list
    parts = []
    for begin in range(0, max(lengths, default=0) + 1, size):
        cuts = [max(begin - i % 2, 0) for i in range(len(lengths))]
        ends = [max(begin + size - i % 2, 0) for i in range(len(lengths))]
        clip = [[min(cut, n) for cut, n in zip(at, lengths, strict=True)] for at in (cuts, ends)]
        parts.append(take_steps(timeline, *clip))
    return parts


def _part(
    timeline: Timeline, ranges: list[range], noise: Noise | None, continues: bool
) -> tuple[Timeline, Int64[Tensor, "part"]]:
    where = torch.tensor([step for steps in ranges for step in steps], dtype=torch.int64)
    starts = torch.tensor([0, *(len(steps) for steps in ranges)], dtype=torch.int64).cumsum(0)
    marks = {name: mark[where] for name, mark in timeline.marks.items()}
    return Timeline(starts, timeline.time[where], timeline.delta[where], continues, noise, marks), where
