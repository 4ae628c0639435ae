"""The time-major layout that recurrent cores run in.

The samples are ranked by length, longest first, so that the samples still running at any time are the
first rows. Time is cut into blocks (duration, rows); a block holds its rows side by side at each of its
times, and the blocks stand one after another. Cut wherever a sample ends, nothing is padded (this is the
order of a `PackedSequence`); cut less often, blocks are longer and some slots stand for no step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseq.batch import Timeline

_WORTH_A_CALL = 64  # slots of padding that cost about as much as one more call of a fused kernel


@dataclass(frozen=True)
class Layout:
    """Where each step of a batch stands in time-major order.

    Attributes:
        blocks: (duration, rows) of each block.
        sizes: how many rows each time has, over all blocks.
        order: the sample of each rank, longest first; samples without a step come last.
        rank: the rank of each sample.
        step: the step in each slot; a slot that pads holds the last step of its sample.
        slot: the slot of each step.
        sample: the sample of each slot.
        last: the slot of the last step of each rank that has one.
        before: for each slot, the same row one time earlier; the first rows count as slots before all
            others.
    """

    blocks: list[tuple[int, int]]
    sizes: list[int]
    order: Int64[Tensor, "sample"]
    rank: Int64[Tensor, "sample"]
    step: Int64[Tensor, "slot"]
    slot: Int64[Tensor, "step"]
    sample: Int64[Tensor, "slot"]
    last: Int64[Tensor, "row"]
    before: Int64[Tensor, "slot"]

    def spread(self, steps: Float[Tensor, "step width"]) -> Float[Tensor, "slot width"]:
        """Steps → slots. Gradients of slots that pad must be zero."""
        return _Move.apply(steps, self.step, self.slot)

    def collect(self, slots: Float[Tensor, "slot width"]) -> Float[Tensor, "step width"]:
        """Slots → steps, the inverse of `spread`."""
        return _Move.apply(slots, self.slot, self.step)


class _Move(torch.autograd.Function):
    """y = x[there], whose gradient is one more gather: faster than the scatter-add of `index_select`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "source width"],
        there: Int64[Tensor, "target"],
        back: Int64[Tensor, "source"],
    ) -> Float[Tensor, "target width"]:
        ctx.there, ctx.back = there, back
        return x.index_select(0, there)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Float[Tensor, "target width"]
    ) -> tuple[Float[Tensor, "source width"], None, None]:
        if len(ctx.back) <= len(ctx.there):
            return grad.index_select(0, ctx.back), None, None
        slots = grad.new_zeros(len(ctx.back), grad.shape[1])
        return slots.index_copy_(0, ctx.there, grad), None, None


def previous(
    hidden: Float[Tensor, "slot hidden"], begin: Float[Tensor, "row hidden"], where: Layout
) -> Float[Tensor, "slot hidden"]:
    """Each row's state before its step."""
    return torch.cat([begin, hidden]).index_select(0, where.before)


def layout(timeline: Timeline, keep: float = 1.0, most: int | None = None) -> Layout:
    """The layout of a timeline, computed once for each choice.

    Args:
        timeline: has at least one step.
        keep: a new block starts when the rows still running fall to this share of the block's rows, or
            below, unless that would save hardly any padding; 1 cuts wherever a sample ends.
        most: slots that a block has at most, where it lasts longer than one time; None: no limit.
    """
    # Kept on the timeline as its cached properties are, so that it lives exactly as long.
    known = vars(timeline).setdefault("_layouts", {})
    if (keep, most) not in known:
        known[keep, most] = _build(timeline, keep, most)
    return known[keep, most]


def _build(timeline: Timeline, keep: float, most: int | None) -> Layout:
    lengths = np.array(timeline.lengths_list, np.int64)
    order = np.argsort(-lengths, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    length = lengths[order]
    start = (np.cumsum(lengths) - lengths)[order]

    blocks = _cut(timeline.lengths_list, keep)
    if most is not None:
        blocks = [part for block in blocks for part in _at_most(block, most)]
    sizes = np.repeat([rows for _, rows in blocks], [duration for duration, _ in blocks])
    first = np.cumsum(sizes) - sizes
    time = np.repeat(np.arange(len(sizes)), sizes)
    row = np.arange(int(sizes.sum())) - np.repeat(first, sizes)
    real = time < length[row]
    step = start[row] + np.minimum(time, length[row] - 1)
    slot = np.empty(timeline.n_steps, np.int64)
    slot[step[real]] = np.flatnonzero(real)
    running = int((length > 0).sum())
    last = first[length[:running] - 1] + np.arange(running)

    before = np.concatenate([[0], first + running])[time] + row if running else row
    arrays = (order, rank, step, slot, order[row], last, before)
    device = timeline.starts.device
    return Layout(blocks, sizes.tolist(), *(torch.from_numpy(array).to(device) for array in arrays))


def _cut(lengths: Sequence[int], keep: float) -> list[tuple[int, int]]:
    """(duration, rows) of each block."""
    counts = sorted(Counter(length for length in lengths if length).items())
    running = sum(count for _, count in counts)
    blocks, begin, rows = [], 0, running
    longest = counts[-1][0] if counts else 0
    least = 0 if keep == 1 else _WORTH_A_CALL
    for end, count in counts:
        running -= count
        padding = (rows - running) * (longest - end)
        if not running or (running <= keep * rows and padding >= least):
            blocks.append((end - begin, rows))
            begin, rows = end, running
    return blocks


def _at_most(block: tuple[int, int], slots: int) -> list[tuple[int, int]]:
    """A block in as few parts of about equal duration as have no more slots, or last one time."""
    duration, rows = block
    parts = min(-(-duration // max(slots // rows, 1)), duration)
    return [(duration * (i + 1) // parts - duration * i // parts, rows) for i in range(parts)]
