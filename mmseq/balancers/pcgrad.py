"""Gradients of which each is freed of what conflicts with the others."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from mmseq.balancers import BalancerConfig, FactorBalancer, Whole, balancers
from mmseq.random import permutation


class PcgradConfig(BalancerConfig):
    kind: Literal["pcgrad"]


@balancers.register(PcgradConfig)
class PcgradBalancer(FactorBalancer):
    """Projects each task's gradient onto the normal plane of every other that it conflicts with, and sums.

    For each task i, and the others j in random order: where g_i'·g_j < 0, g_i' ← g_i' − (g_i'·g_j / ‖g_j‖²)
    g_j, with g_i' = g_i = ∇(w_i·L_i) at first. All of it are sums of the g_j, so the factors follow from
    their inner products.

    Source: Yu, Kumar, Gupta, Levine, Hausman and Finn 2020, "Gradient surgery for multi-task learning",
    algorithm 1.
    """

    reads = "gradients"

    def look(self, whole: Whole) -> None:
        assert whole.gram is not None
        gram = whole.gram * self.weight[:, None] * self.weight
        self.factor.fill_(1)
        if bool(torch.isfinite(gram).all()):
            self.factor.copy_(projected(gram, whole.key))


def projected(gram: Float64[Tensor, "task task"], key: int) -> Float64[Tensor, "task"]:
    """What each gradient is multiplied by in the sum of the projected ones.

    Args:
        gram: inner products of the gradients.
        key: of the order in which conflicts are resolved.
    """
    n = len(gram)
    parts = torch.eye(n, dtype=gram.dtype)
    for i in range(n):
        for j in permutation(n, key, i).tolist():
            along = parts[i] @ gram[:, j]
            if i != j and gram[j, j] > 0 and along < 0:
                parts[i, j] -= along / gram[j, j]
    return parts.sum(0)
