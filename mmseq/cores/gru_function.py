"""The GRU over packed rows, with or without decay, and with a backward pass written by hand.

Autograd over a loop of cells keeps and visits some twenty small tensors a step. Here a step costs five
kernels forward and three backward; whatever does not depend on the step before it (the input
projection, the local derivatives, the gradients of weights and inputs) is done for all steps at once.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseq.cores.layout import Layout, previous


class GruFunction(torch.autograd.Function):
    """h̃ = e^(-rate_t) ⊙ h_{t-1}, or h_{t-1} itself where there is no rate;
    r, z = σ(W x_t + b + U h̃ + c);  m = U_n h̃ + c_n;  n = tanh(W_n x_t + b_n + r ⊙ m);
    h_t = (1 - z) ⊙ n + z ⊙ h̃.

    `gates` holds r, z and m of every row side by side, so that one product with U fills all three. The
    gradient of the rate is -h̃ ⊙ ∂L/∂h̃: it needs neither a division nor h_{t-1}.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "slot width"],
        begin: Float[Tensor, "row hidden"],
        where: Layout,
        w: Float[Tensor, "gates width"],
        u: Float[Tensor, "gates hidden"],
        b: Float[Tensor, "gates"],
        c: Float[Tensor, "gates"],
        rate: Float[Tensor, "slot hidden"] | None = None,
    ) -> Float[Tensor, "slot hidden"]:
        """Runs all steps; `where` pads nothing, and `begin` has a row for each sample with a step."""
        n_hidden = begin.shape[1]
        gates, candidate = _project(x, w, b, c, n_hidden)
        hidden = x.new_empty(len(x), n_hidden)
        faded = None if rate is None else rate.neg().exp_()
        _run(gates, candidate, hidden, begin, u.t(), where.sizes, faded)  # `faded` becomes h̃
        before = previous(hidden, begin, where) if faded is None else faded
        ctx.save_for_backward(x, w, u, gates, candidate, before, rate)
        ctx.where = where
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "slot hidden"]) -> tuple[Tensor | None, ...]:
        x, w, u, gates, candidate, before, rate = ctx.saved_tensors
        sizes, n_hidden = ctx.where.sizes, grad.shape[1]
        two = 2 * n_hidden
        z = gates[:, n_hidden:two]
        slope, d_candidate = _slopes(gates, candidate, before)
        d_hidden = torch.cat([grad.new_zeros(sizes[0], n_hidden), grad])
        decay = None if rate is None else rate.neg().exp_()
        d_faded = _run_back(d_hidden, slope, z, u, sizes, decay)  # `slope` becomes the gradient of `gates`

        d_candidate.mul_(d_hidden[sizes[0] :])
        d_rz = slope[:, :two]
        d_x = torch.addmm(d_rz @ w[:two], d_candidate, w[two:]) if ctx.needs_input_grad[0] else None
        d_w = torch.cat([d_rz.t() @ x, d_candidate.t() @ x])
        d_c = slope.sum(0)
        d_b = torch.cat([d_c[:two], d_candidate.sum(0)])
        d_rate = None if d_faded is None else d_faded.mul_(before).neg_()
        return d_x, d_hidden[: sizes[0]], None, d_w, slope.t() @ before, d_b, d_c, d_rate


def _project(
    x: Float[Tensor, "slot width"],
    w: Float[Tensor, "gates width"],
    b: Float[Tensor, "gates"],
    c: Float[Tensor, "gates"],
    n_hidden: int,
) -> tuple[Float[Tensor, "slot gates"], Float[Tensor, "slot hidden"]]:
    """What r, z and m, and the candidate, have before anything recurrent is added."""
    two = 2 * n_hidden
    gates = x.new_empty(len(x), 3 * n_hidden)
    torch.addmm((b + c)[:two], x, w[:two].t(), out=gates[:, :two])
    gates[:, two:] = c[two:]
    return gates, torch.addmm(b[two:], x, w[two:].t())


def _run(
    gates: Float[Tensor, "slot gates"],
    candidate: Float[Tensor, "slot hidden"],
    hidden: Float[Tensor, "slot hidden"],
    h: Float[Tensor, "row hidden"],
    u: Float[Tensor, "hidden gates"],
    sizes: list[int],
    decay: Float[Tensor, "slot hidden"] | None,
) -> None:
    """All steps, in place: one row of views a step, split once, for indexing costs as much as a kernel.

    `decay` is what to multiply each row's state with before its step, and becomes the product.
    """
    n = hidden.shape[1]
    decays = [None] * len(sizes) if decay is None else decay.split(sizes)
    parts = (
        gates,
        gates[:, : 2 * n],
        gates[:, :n],
        gates[:, n : 2 * n],
        gates[:, 2 * n :],
        candidate,
        hidden,
    )
    rows = zip(sizes, decays, *(part.split(sizes) for part in parts), strict=True)
    for size, faded, all_, rz, r, z, m, new, out in rows:
        if len(h) != size:
            h = h[:size]
        if faded is not None:
            h = faded.mul_(h)
        all_.addmm_(h, u)
        rz.sigmoid_()
        new.addcmul_(r, m).tanh_()
        torch.lerp(new, h, z, out=out)
        h = out


def _slopes(
    gates: Float[Tensor, "slot gates"],
    candidate: Float[Tensor, "slot hidden"],
    before: Float[Tensor, "slot hidden"],
) -> tuple[Float[Tensor, "slot gates"], Float[Tensor, "slot hidden"]]:
    """∂h_t/∂(what enters r, z, m) and ∂h_t/∂(what enters n), at fixed h_{t-1}."""
    r, z, m = gates.chunk(3, 1)
    slope = torch.empty_like(gates)
    d_r, d_z, d_m = slope.chunk(3, 1)
    d_candidate = (1 - z).mul_(1 - candidate.square())
    torch.sub(before, candidate, out=d_z).mul_(z).mul_(1 - z)
    torch.mul(d_candidate, r, out=d_m)
    torch.mul(d_m, m, out=d_r).mul_(1 - r)
    return slope, d_candidate


def _run_back(
    d_hidden: Float[Tensor, "slots_and_rows hidden"],
    slope: Float[Tensor, "slot gates"],
    z: Float[Tensor, "slot hidden"],
    u: Float[Tensor, "gates hidden"],
    sizes: list[int],
    decay: Float[Tensor, "slot hidden"] | None,
) -> Float[Tensor, "slot hidden"] | None:
    """Adds to each row's ∂L/∂h what later steps send back; turns `slope` into ∂L/∂(what enters the gates).

    Returns:
        ∂L/∂h̃ where there is a decay.
    """
    n_hidden = z.shape[1]
    states = d_hidden.split([sizes[0], *sizes])
    slopes = slope.split(sizes)
    wide = slope.view(len(slope), 3, n_hidden).split(sizes)
    zs = z.split(sizes)
    d_faded = None if decay is None else torch.empty_like(decay)
    decays, d_fadeds = ([] if part is None else part.split(sizes) for part in (decay, d_faded))
    for i in range(len(sizes) - 1, -1, -1):
        d_h, d_before = states[i + 1], states[i]
        if len(d_before) != sizes[i]:
            d_before = d_before[: sizes[i]]
        wide[i].mul_(d_h.unsqueeze(1))
        if d_faded is None:
            d_before.addmm_(slopes[i], u).addcmul_(d_h, zs[i])
        else:
            torch.mul(d_h, zs[i], out=d_fadeds[i]).addmm_(slopes[i], u)
            d_before.addcmul_(d_fadeds[i], decays[i])
    return d_faded
