"""The linear recurrent unit."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import gelu

from mmseq.cores import CoreConfig, cores
from mmseq.cores.linear_recurrence import LinearLayer, LinearOptions, LinearRecurrentCore
from mmseq.cores.scan import Cut, scan, tiles


class LruConfig(LinearOptions, CoreConfig):
    """Linear recurrent unit: states that rotate and fade, each at a rate of its own."""

    kind: Literal["lru"]
    r_min: float = Field(0.9, ge=0, lt=1, description="what a state keeps over one step, at first: at least")
    r_max: float = Field(0.999, gt=0, lt=1, description="what a state keeps over one step, at first: at most")
    max_phase: float = Field(
        0.314,
        gt=0,
        le=2 * math.pi,
        description="how far a state turns in one step, at first: at most, in radians",
    )

    @model_validator(mode="after")
    def _ordered(self) -> LruConfig:
        if self.r_min >= self.r_max:
            raise ValueError(f"r_min must be below r_max; got {self.r_min} and {self.r_max}; exchange them")
        return self


class _Layer(LinearLayer):
    def __init__(
        self, width: int, hidden: int, delta_power: float, r_min: float, r_max: float, max_phase: float
    ) -> None:
        super().__init__()
        size = (torch.rand(hidden) * (r_max**2 - r_min**2) + r_min**2).sqrt()
        self.log_rate = nn.Parameter((-size.log()).log())
        self.log_phase = nn.Parameter((max_phase * (1 - torch.rand(hidden))).log())
        self.log_scale = nn.Parameter((1 - size**2).sqrt().log())
        self.delta_power = nn.Parameter(torch.full((hidden,), float(delta_power)))
        # Real and imaginary parts of a unit side by side, as complex numbers lie in memory.
        self.enter = nn.Parameter(torch.randn(hidden, 2, width) / math.sqrt(2 * width))
        self.leave = nn.Parameter(torch.randn(hidden, hidden, 2) / math.sqrt(hidden))
        self.skip = nn.Linear(width, hidden)
        nn.init.xavier_uniform_(self.skip.weight)
        nn.init.zeros_(self.skip.bias)

    def forward(
        self,
        x: Float[Tensor, "step width"],
        elapsed: Float[Tensor, "step"],
        begin: list[Tensor] | None,
        where: Cut,
    ) -> tuple[Float[Tensor, "step hidden"], list[Tensor]]:
        decay = _Decay.apply(elapsed, self.delta_power, self.log_rate.exp(), self.log_phase.exp())
        enter = (self.enter * self.log_scale.exp()[:, None, None]).flatten(0, 1)
        inputs = torch.view_as_complex((x @ enter.t()).unflatten(1, (-1, 2)))
        state = scan(decay, inputs, None if begin is None else torch.complex(*begin), where)
        flat = torch.view_as_real(state)
        return gelu(self.skip(x) + flat.flatten(1) @ self.leave.flatten(1).t()), [*flat.unbind(2)]


class _Decay(torch.autograd.Function):
    """λ_t = exp((-rate + i phase) τ_t) with τ_t = exp(power · elapsed_t).

    With q_t = λ_t ⊙ (∂L/∂λ_t)*, all gradients come of the sums of τ_t q_t and of elapsed_t τ_t q_t.
    """

    @staticmethod
    def forward(ctx: Any, elapsed: Tensor, power: Tensor, rate: Tensor, phase: Tensor) -> Tensor:
        decay = torch.empty(len(elapsed), len(power), dtype=power.dtype.to_complex(), device=power.device)
        for rows in tiles(0, decay):
            time = torch.outer(elapsed[rows], power).exp_()
            torch.polar((time * -rate).exp_(), time.mul_(phase), out=decay[rows])
        ctx.save_for_backward(elapsed, power, rate, phase, decay)
        return decay

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        elapsed, power, rate, phase, decay = ctx.saved_tensors
        sums = decay.new_zeros(2, len(power))
        for rows in tiles(0, decay):
            q = grad[rows].conj() * decay[rows]
            q.mul_(torch.outer(elapsed[rows], power).exp_())
            weights = torch.stack([torch.ones_like(elapsed[rows]), elapsed[rows]])
            sums += weights.to(q.dtype) @ q
        d_power = -(sums[1].real * rate + sums[1].imag * phase)
        return None, d_power, -sums[0].real, -sums[0].imag


@cores.register(LruConfig)
class LruCore(LinearRecurrentCore):
    """λ = exp(-exp ν + i exp θ);  h_t = λ^τ_t ⊙ h_{t-1} + exp(γ) ⊙ B x_t;  y_t = gelu(Re(C h_t) + D x_t + d);
    τ_t = Δ_t^p.

    h, λ, B and C are complex; γ begins at log √(1 - |λ|²). The power p of the time Δ since the previous step
    is learned for each unit: 0 counts steps, as in the paper, and 1 is a system in continuous time. A
    sample's very first step counts as Δ = 1. Another unit of time multiplies τ by a constant, which ν and θ,
    being logarithms, take up by moving; at the small p of the beginning, a unit a thousand times smaller
    makes τ no more than six times larger.

    Source: Orvieto et al. 2023, "Resurrecting recurrent neural networks for long sequences", section 3 and
    appendix A; without Δ. The sign of `leave`'s imaginary half is free, so it holds -Im C.
    """

    parts = ("real", "imaginary")

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        delta_power: float = 0.25,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 0.314,
    ) -> None:
        widths = [width, *[hidden] * (layers - 1)]
        made = [_Layer(size, hidden, delta_power, r_min, r_max, max_phase) for size in widths]
        super().__init__(made, hidden, dropout)
