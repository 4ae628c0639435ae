"""A convex gate in front of the scan, with one backward pass for both, written by hand.

Autograd over the same formulas keeps and writes some ten more tensors of all steps.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseq.cores.scan import Cut, run, tiles


def gated_scan(
    gates: Float[Tensor, "step gates"],
    elapsed: Float[Tensor, "step"],
    power: Float[Tensor, "hidden"],
    begin: Float[Tensor, "row hidden"] | None,
    where: Cut,
) -> Float[Tensor, "step hidden"]:
    """a_t = σ(f_t - power · elapsed_t);  h_t = a_t ⊙ h_{t-1} + (1 - a_t) ⊙ g(v_t).

    g(v) is v + ½ above zero and σ(v) below, so that a state that began at zero stays positive.
    Source: Feng et al. 2024, "Were RNNs all we needed?", appendix B, for g.

    Args:
        gates: f and v side by side. Its memory is used up: no other result may depend on it.
        elapsed: log of the time since the previous step.
        power: how strongly that counts, for each unit.
        begin: see `scan`.
        where: see `cut`.
    """
    if where.single:
        f, v = gates.chunk(2, 1)
        a = torch.addr(f, elapsed, power, alpha=-1).sigmoid()
        g = torch.where(v >= 0, v + 0.5, v.sigmoid())
        return torch.lerp(g, g.new_zeros(()) if begin is None else begin, a)
    hidden, _ = _GatedScan.apply(gates, elapsed, power, begin, where)
    return hidden


class _GatedScan(torch.autograd.Function):
    """With d_t = ∂L/∂h_t, later steps included: ∂L/∂f_t = d_t ⊙ (h_{t-1} - g(v_t)) ⊙ a_t ⊙ (1 - a_t);
    ∂L/∂v_t = d_t ⊙ (1 - a_t) ⊙ g'(v_t)."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, elapsed: Tensor, power: Tensor, begin: Tensor | None, where: Cut
    ) -> tuple[Tensor, Tensor]:
        hidden = gates.new_empty(len(gates), len(power))
        _open(gates, elapsed, power, hidden)
        decay = gates[:, : len(power)]
        first = decay.index_select(0, where.first)
        if begin is not None:
            hidden.index_add_(0, where.first, first * begin)
        decay.index_fill_(0, where.first, 0)
        run(decay, hidden, where)
        ctx.mark_dirty(gates)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(gates, elapsed, first, begin, hidden)
        ctx.where = where
        return hidden, gates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * 5
        gates, elapsed, first, begin, hidden = ctx.saved_tensors
        where = ctx.where
        decay, candidate = gates.chunk(2, 1)
        d_hidden = grad.clone(memory_format=torch.contiguous_format)
        run(decay, d_hidden, where, back=True)
        d_gates = torch.empty_like(gates)
        d_f, d_v = d_gates.chunk(2, 1)
        for rows in tiles(1, hidden):
            before = hidden[rows.start - 1 : rows.stop - 1]
            _slopes(decay[rows], candidate[rows], before, d_hidden[rows], d_f[rows], d_v[rows])

        d_first, g_first = (x.index_select(0, where.first) for x in (d_hidden, candidate))
        before = torch.zeros_like(first) if begin is None else begin
        slopes = torch.empty_like(first), torch.empty_like(first)
        _slopes(first, g_first, before, d_first, *slopes)
        d_gates.index_copy_(0, where.first, torch.cat(slopes, 1))
        d_begin = None if begin is None else first * d_first
        return d_gates, None, -(elapsed @ d_f), d_begin, None


def _open(gates: Tensor, elapsed: Tensor, power: Tensor, hidden: Tensor) -> None:
    """In place f → a and v → g(v); and (1 - a) ⊙ g(v) into `hidden`."""
    for rows in tiles(0, hidden):
        a, g = gates[rows].chunk(2, 1)
        a.addr_(elapsed[rows], power, alpha=-1).sigmoid_()
        low = torch.clamp(g, max=0, out=hidden[rows])
        g.clamp_(min=0).add_(low.sigmoid_())
        torch.addcmul(g, a, g, value=-1, out=hidden[rows])


def _slopes(a: Tensor, g: Tensor, before: Tensor, d: Tensor, d_f: Tensor, d_v: Tensor) -> None:
    """Writes ∂L/∂f and ∂L/∂v."""
    fresh = torch.addcmul(d, a, d, value=-1)
    torch.sub(before, g, out=d_f).mul_(a).mul_(fresh)
    torch.addcmul(g, g, g, value=-1, out=d_v).masked_fill_(g >= 0.5, 1).mul_(fresh)
