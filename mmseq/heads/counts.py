"""Poisson and negative binomial distributions, in float64: likelihood, deviance, score, draws.

The negative binomial is NB2: mean μ, variance μ + αμ². Without α it is Poisson's.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn import functional as F

Numbers = Float64[Tensor, "query column"]

_HALVINGS = 80  # of the range of a draw: to the precision of float64


def log_likelihood(count: Numbers, log_mean: Numbers, log_dispersion: Numbers | None) -> Numbers:
    """log p(y)."""
    if log_dispersion is None:
        return count * log_mean - log_mean.exp() - (count + 1).lgamma()
    size = (-log_dispersion).exp()
    log_ratio = log_dispersion + log_mean  # log αμ
    many = (count + size).lgamma() - size.lgamma() - (count + 1).lgamma()
    return many - size * F.softplus(log_ratio) - count * F.softplus(-log_ratio)


def deviance(count: Numbers, log_mean: Numbers, log_dispersion: Numbers | None) -> Numbers:
    """2·(log p(y) at μ = y − log p(y) at μ).

    Poisson: 2·(y log(y/μ) − (y − μ)); NB2: 2·(y log(y/μ) − (y + r) log((y + r)/(μ + r))), r = 1/α.
    """
    mean = log_mean.exp()
    own = torch.xlogy(count, count) - count * log_mean
    if log_dispersion is None:
        return 2 * (own - (count - mean))
    size = (-log_dispersion).exp()
    return 2 * (own - (count + size) * (((count - mean) / (mean + size)).log1p()))


def crps_poisson(count: Numbers, mean: Numbers) -> Numbers:
    """Σ_k (F(k) − 1{y ≤ k})² = (y − μ)(2F(y) − 1) + 2μ·p(y) − μ·e^{−2μ}·(I₀(2μ) + I₁(2μ)).

    Source: Wei and Held 2014, "Calibration tests for count data", section 2.2.
    """
    up_to = torch.special.gammaincc(count + 1, mean)
    density = log_likelihood(count, mean.log(), None).exp()
    bessel = torch.special.i0e(2 * mean) + torch.special.i1e(2 * mean)
    return (count - mean) * (2 * up_to - 1) + 2 * mean * density - mean * bessel


def mode(log_mean: Numbers, log_dispersion: Numbers | None) -> Numbers:
    """The most probable count: the whole part of μ, or of (1 − α)μ."""
    share = 1 if log_dispersion is None else (1 - log_dispersion.exp()).clamp(min=0)
    return (share * log_mean.exp()).floor()


def draw_poisson(rate: Numbers, uniform: Numbers) -> Numbers:
    """The least count k with F(k) = Q(k + 1, rate) ≥ uniform; Q is the regularised upper gamma function."""
    low = torch.full_like(rate, -1)
    high = (rate + 40 * (rate.sqrt() + 1)).floor()  # the probability of more is below 1e-16
    while bool((high - low > 1).any()):
        middle = ((low + high) / 2).floor()
        is_enough = torch.special.gammaincc(middle + 1, rate) >= uniform
        high = torch.where(is_enough & (high - low > 1), middle, high)
        low = torch.where(~is_enough & (high - low > 1), middle, low)
    return high


def draw_rate(log_mean: Numbers, log_dispersion: Numbers, uniform: Numbers) -> Numbers:
    """The rate whose Poisson counts are NB2: Gamma with shape r = 1/α and mean μ, by inversion."""
    shape = (-log_dispersion).exp()
    low, high = torch.full_like(shape, -1000), (shape + 40 * (shape.sqrt() + 1)).log()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        is_below = torch.special.gammainc(shape, middle.exp()) < uniform
        low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
    return (high + log_dispersion + log_mean).exp()
