"""Proper scores of a predicted distribution, in closed form."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def crps_gaussian(difference: Float[Tensor, "..."], scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Continuous ranked probability score ∫ (F(x) − 1{x ≥ y})² dx of N(μ, σ²), in units of y.

    σ · (ω (2Φ(ω) − 1) + 2φ(ω) − 1/√π) with ω = (y − μ)/σ.
    Source: Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation",
    equation 21 in its negative orientation.

    Args:
        difference: y − μ.
        scale: σ.
    """
    return mean_absolute(difference, scale) - scale / math.sqrt(math.pi)


def mean_absolute(mean: Float[Tensor, "..."], scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """E|X| of X ~ N(μ, σ²): μ (2Φ(μ/σ) − 1) + 2σφ(μ/σ)."""
    ratio = mean / scale
    density = (-ratio.square() / 2).exp() / math.sqrt(2 * math.pi)
    return mean * torch.special.erf(ratio / math.sqrt(2)) + 2 * scale * density
