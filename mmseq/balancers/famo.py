"""Weights under which all losses fall at like rates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor

from mmseq.balancers import BalancerConfig, FactorBalancer, Whole, balancers

_EPSILON = 1e-8


class FamoConfig(BalancerConfig):
    kind: Literal["famo"]
    lr: float = Field(0.025, gt=0, description="of the logits of the weights")
    decay: float = Field(0.001, ge=0, description="draws the weights back to equal ones")


@balancers.register(FamoConfig)
class FamoBalancer(FactorBalancer):
    """f_k = c·z_k / L_k with z = softmax(ξ) and 1 / c = Σ z_i / L_i; ξ moves to the tasks whose losses fall
    least.

    After a step the losses of the same batch are looked at again, and ξ ← ξ − lr·(Jᵀδ + decay·ξ), with
    δ_i = log L_i before − log L_i after, and J the Jacobian of z. Losses have to be positive: the least that
    a task has had, where it is below 0, is taken off it. Configured weights multiply the factors.

    Source: Liu, Feng, Stone and Liu 2023, "FAMO: fast adaptive multitask optimization", algorithm 1.
    """

    reads = "losses"
    rereads = True

    logits: Tensor
    least: Tensor

    def __init__(self, tasks: Mapping[str, float], *, lr: float, decay: float) -> None:
        super().__init__(tasks)
        self.lr, self.decay = lr, decay
        for name in ("logits", "least"):
            self.register_buffer(name, torch.zeros(len(self.tasks), dtype=torch.float64))
        self.before: Whole | None = None

    def look(self, whole: Whole) -> None:
        if not bool(torch.isfinite(whole.losses).all()):
            return
        here = self.counts(whole)
        self.least.copy_(torch.where(here, self.least.minimum(whole.losses), self.least))
        z, height = self._shares(here), self._height(whole.losses)
        share = torch.where(here, z / height, 0)
        self.factor.copy_(torch.where(here, share / share.sum(), 1.0))
        self.before = whole

    def judge(self, whole: Whole) -> None:
        before, self.before = self.before, None
        if before is None or not bool(torch.isfinite(whole.losses).all()):
            return
        here = self.counts(before)
        fall = self._height(before.losses).log() - self._height(whole.losses).log()
        z = self._shares(here)
        fall = torch.where(here, fall, 0)
        gradient = z * (fall - (z * fall).sum())
        moved = self.logits - self.lr * (gradient + self.decay * self.logits)
        self.logits.copy_(torch.where(here, moved, self.logits))

    def _shares(self, here: Tensor) -> Float64[Tensor, "task"]:
        return torch.where(here, self.logits, -torch.inf).softmax(0).nan_to_num(0)

    def _height(self, losses: Float64[Tensor, "task"]) -> Float64[Tensor, "task"]:
        return (losses - self.least).clamp(min=0) + _EPSILON
