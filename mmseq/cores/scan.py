"""Linear recurrences h_t = a_t ⊙ h_{t-1} + b_t over the steps of all samples at once.

The samples stand one after another in one flat sequence, in which the state starts anew at each of them. It
is cut into blocks of equal length that run side by side: first each block alone from zero, for what it adds
and what it keeps; then from block to block; then each from its true beginning. So T steps take some 4·√T
calls of wide kernels. Where samples have one length and fill a kernel side by side they are the blocks, and
each step is visited once.

All numbers are sums of products of the a's and b's themselves; nothing is divided and no logarithm taken, so
that gates near 0 and products that vanish lose nothing.

Source: Blelloch 1990, "Prefix sums and their applications", section 1.3, with two levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Inexact, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseq.batch import Timeline

_WORTH_A_CALL = 4096  # numbers in a row of samples from which its kernel costs more than the call
_TILE = 1 << 15  # numbers that the first caches hold several times


@dataclass(frozen=True)
class Cut:
    """How the steps of a batch are cut.

    Attributes:
        length: steps of a block; the last block may be shorter.
        joined: blocks go on from one another; false where each is a sample, or none has a second step.
        running: the samples that have a step.
        first: the first step of each of these.
        last: the last step of each of these.
    """

    length: int
    joined: bool
    running: Int64[Tensor, "row"]
    first: Int64[Tensor, "row"]
    last: Int64[Tensor, "row"]

    @property
    def single(self) -> bool:
        """No sample has a second step, so there is nothing to scan."""
        return self.length == 1 and not self.joined


def cut(timeline: Timeline, hidden: int) -> Cut:
    """The cut of a timeline for states of that size, computed once."""
    # Kept on the timeline as its cached properties are, so that it lives exactly as long.
    known = vars(timeline).setdefault("_cuts", {})
    if hidden not in known:
        known[hidden] = _cut(timeline, hidden)
    return known[hidden]


def _cut(timeline: Timeline, hidden: int) -> Cut:
    if max(timeline.lengths_list, default=0) <= 1:
        steps = torch.arange(timeline.n_steps, device=timeline.starts.device)
        return Cut(1, False, steps if len(steps) == timeline.n_samples else timeline.sample, steps, steps)
    lengths = np.array(timeline.lengths_list, np.int64)
    running = np.flatnonzero(lengths)
    lengths = lengths[running]
    end = lengths.cumsum()
    longest = int(lengths.max())
    apart = len(lengths) * longest == timeline.n_steps and len(lengths) * hidden >= _WORTH_A_CALL
    length = longest if apart else max(1, round(math.sqrt(timeline.n_steps / 3)))
    device = timeline.starts.device
    places = (torch.from_numpy(array).to(device) for array in (running, end - lengths, end - 1))
    return Cut(length, not apart, *places)


def scan(
    decay: Inexact[Tensor, "step hidden"],
    inputs: Inexact[Tensor, "step hidden"],
    begin: Inexact[Tensor, "row hidden"] | None,
    where: Cut,
) -> Inexact[Tensor, "step hidden"]:
    """h_t = decay_t ⊙ h_{t-1} + inputs_t within each sample; real or complex.

    Args:
        decay: a_t.
        inputs: b_t.
        begin: the state before the first step of each sample that has one; None is zero.
        where: see `cut`.
    """
    if where.single:
        return torch.addcmul(inputs, decay, torch.zeros_like(inputs) if begin is None else begin)
    return _Scan.apply(decay, inputs, begin, where)


class _Scan(torch.autograd.Function):
    """∂L/∂b_t = d_t = ∂L/∂h_t + a*_{t+1} ⊙ d_{t+1}, the same recurrence from the end;
    ∂L/∂a_t = d_t ⊙ h*_{t-1}."""

    @staticmethod
    def forward(ctx: Any, decay: Tensor, inputs: Tensor, begin: Tensor | None, where: Cut) -> Tensor:
        hidden = inputs.clone(memory_format=torch.contiguous_format)
        first = decay.index_select(0, where.first)
        if begin is not None:
            hidden.index_add_(0, where.first, first * begin)
        decay = decay.index_fill(0, where.first, 0)
        run(decay, hidden, where)
        ctx.save_for_backward(decay, first, begin, hidden)
        ctx.where = where
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        decay, first, begin, hidden = ctx.saved_tensors
        where = ctx.where
        # In conjugates, which cost nothing to take back, so that decays and states are used as they are.
        d_hidden = torch.empty_like(hidden).copy_(grad.conj())
        run(decay, d_hidden, where, back=True)
        d_decay = torch.empty_like(hidden)
        torch.mul(hidden[:-1], d_hidden[1:], out=d_decay[1:])
        d_first = d_hidden.index_select(0, where.first)
        if begin is None:
            return d_decay.index_fill_(0, where.first, 0).conj(), d_hidden.conj(), None, None
        d_decay.index_copy_(0, where.first, begin * d_first)
        return d_decay.conj(), d_hidden.conj(), (first * d_first).conj(), None


def tiles(begin: int, x: Inexact[Tensor, "step hidden"]) -> Iterator[slice]:
    """The rows from `begin` on, few at a time, so that what one kernel writes the next finds in cache."""
    rows = max(1, _TILE // x.shape[1])
    return (slice(i, min(i + rows, len(x))) for i in range(begin, len(x), rows))


def run(
    decay: Inexact[Tensor, "step hidden"],
    value: Inexact[Tensor, "step hidden"],
    where: Cut,
    back: bool = False,
) -> None:
    """value_t += decay_t ⊙ value_{t-1} in place, from the first step to the last; with `back`,
    value_t += decay_{t+1} ⊙ value_{t+1} from the last step to the first.

    The decay at the first step of each sample must be zero.
    """
    decays, values = _columns(decay, where.length, back), _columns(value, where.length, back)
    if where.joined:
        _join(decay, value, decays[0], values[0], where.length, back)
    before = values[0]
    for a, h in zip(decays[:-1] if back else decays[1:], values[1:], strict=True):
        if len(before) != len(h):
            before = before[-len(h) :] if back else before[: len(h)]
        before = h.addcmul_(a[-len(h) :] if len(a) != len(h) else a, before)


def _join(
    decay: Tensor, value: Tensor, first_decay: Tensor, first_value: Tensor, length: int, back: bool
) -> None:
    """Gives the first step of each block what the block before it ends with; with `back`, its last step
    what the block after it begins with."""
    n_joins = len(first_value) - 1
    if not n_joins:
        return
    turn = slice(None, None, -1 if back else 1)
    inner = slice(len(value) - n_joins * length, None) if back else slice(n_joins * length)
    decays = decay[inner].unflatten(0, (n_joins, length)).unbind(1)[turn]
    values = value[inner].unflatten(0, (n_joins, length)).unbind(1)[turn]
    kept, end = decays[0].clone(), values[0].clone()  # of a block alone: what it keeps, what it adds
    for a, h in zip(decays[:-1] if back else decays[1:], values[1:], strict=True):
        torch.addcmul(h, a, end, out=end)
    for a in decays[1:]:
        kept.mul_(a)
    if back:
        end.mul_(decays[-1])
    ends = end.unbind()[turn]
    for a, before, h in zip(kept.unbind()[turn][1:], ends, ends[1:], strict=False):
        h.addcmul_(a, before)
    if back:
        first_value[:-1].add_(end)
    else:
        first_value[1:].addcmul_(first_decay[1:], end)


def _columns(x: Tensor, length: int, back: bool) -> list[Tensor]:
    """Views of the steps that run side by side, one a place within a block, in the order that they run.

    Going back, blocks are counted from the end: it is the earliest that may be shorter.
    """
    n_blocks, rest = divmod(len(x), length)
    strides = (x.stride(0), length * x.stride(0), x.stride(1))
    wider = x.as_strided((rest, n_blocks + 1, x.shape[1]), strides).unbind()
    others = x[rest:].as_strided((length - rest, n_blocks, x.shape[1]), strides).unbind()
    return [*wider[::-1], *others[::-1]] if back else [*wider, *others]
