"""The tanh recurrence over packed rows, with a backward pass written by hand; see `gru_function`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmseq.cores.layout import Layout, previous


class RnnFunction(torch.autograd.Function):
    """h_t = tanh(W x_t + b + U h_{t-1} + c)."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "slot width"],
        begin: Float[Tensor, "row hidden"],
        where: Layout,
        w: Float[Tensor, "hidden width"],
        u: Float[Tensor, "hidden hidden"],
        b: Float[Tensor, "hidden"],
        c: Float[Tensor, "hidden"],
    ) -> Float[Tensor, "slot hidden"]:
        """Runs all steps; `where` pads nothing, and `begin` has a row for each sample with a step."""
        hidden = torch.addmm(b + c, x, w.t())
        h, u_t = begin, u.t()
        for out in hidden.split(where.sizes):
            h = out.addmm_(h[: len(out)], u_t).tanh_()
        ctx.save_for_backward(x, begin, w, u, hidden)
        ctx.where = where
        return hidden

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "slot hidden"]) -> tuple[Tensor | None, ...]:
        x, begin, w, u, hidden = ctx.saved_tensors
        sizes = ctx.where.sizes
        d_hidden = torch.cat([torch.zeros_like(begin), grad])
        states = d_hidden.split([sizes[0], *sizes])
        slopes = hidden.square().neg_().add_(1).split(sizes)
        for i in range(len(sizes) - 1, -1, -1):
            states[i][: sizes[i]].addmm_(states[i + 1].mul_(slopes[i]), u)
        d_sum = d_hidden[sizes[0] :]  # ∂L/∂(what enters the tanh)
        d_x = d_sum @ w if ctx.needs_input_grad[0] else None
        d_b = d_sum.sum(0)
        d_u = d_sum.t() @ previous(hidden, begin, ctx.where)
        return d_x, d_hidden[: sizes[0]], None, d_sum.t() @ x, d_u, d_b, d_b
