"""How well what is told of certainty agrees with what came."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

N_BINS = 15


def calibration_error(log_p: Float64[Tensor, "label class"], truth: Int64[Tensor, "label"]) -> float:
    """The expected calibration error of the most probable class, in 15 bins of equal width.

    Σ_b n_b/n · |share of right answers in b − mean confidence in b|, where an answer of confidence p is in
    bin b if (b − 1)/15 < p ≤ b/15. NaN without a label.

    Source: Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al.
    2017, equation 3.
    """
    confidence, answer = log_p.exp().max(1)
    bin = (confidence * N_BINS).ceil().long().clamp(1, N_BINS) - 1
    surplus = (answer == truth).double() - confidence
    gap = torch.zeros(N_BINS, dtype=torch.float64).index_add(0, bin, surplus)
    return float(gap.abs().sum()) / len(truth) if len(truth) else np.nan


def negative_log_likelihood(log_p: Float64[Tensor, "label class"], truth: Int64[Tensor, "label"]) -> float:
    """Mean of −log p of the true class. NaN without a label."""
    return float(-log_p.gather(1, truth[:, None]).mean())


def likeliest(log_p: Float64[Tensor, "query class"], coverage: float) -> Bool[Tensor, "query class"]:
    """The fewest classes whose probabilities add up to `coverage`, if they are taken at their word."""
    order = log_p.argsort(stable=True, dim=1, descending=True)
    p = log_p.exp().gather(1, order)
    before = p.cumsum(1) - p
    return torch.zeros_like(p, dtype=torch.bool).scatter(1, order, before < coverage)


def by_unit(values: Float[Tensor, "label"], unit: Int64[np.ndarray, "label"]) -> float:
    """The mean over units of the mean of their labels. NaN without a label."""
    if not len(unit):
        return np.nan
    _, own, n_labels = np.unique(unit, return_inverse=True, return_counts=True)
    return float((np.bincount(own, values.double().numpy()) / n_labels).mean())
