"""Thresholds that new labels keep with a set probability, whatever the model is worth."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64, Int64

_ROUNDING = 1e-9  # sums of weights are not exact


def threshold(
    scores: Float64[np.ndarray, "label"], unit: Int64[np.ndarray, "label"], coverage: float
) -> float | None:
    """The least score that a label of a new unit does not exceed with this probability.

    With U units of n_u labels each, it is the quantile at `coverage` of

        Σ_u Σ_i δ(s_ui) / ((U + 1)·n_u) + δ(∞) / (U + 1).

    Each unit counts as one, however many labels it has: labels of one are not independent. With a label a
    unit it is the ⌈(U + 1)·coverage⌉-th smallest score. It holds for a unit that is exchangeable with
    those given, on average over what they might have been; no distribution is assumed.

    Source: Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data" (arXiv
    2306.06342), section 3; with a label a unit, Papadopoulos et al. 2002, "Inductive confidence machines for
    regression", and Angelopoulos and Bates 2021, "A gentle introduction to conformal prediction and
    distribution-free uncertainty quantification" (arXiv 2107.07511).

    Args:
        scores: larger where a label is less expected.
        unit: what each label belongs to.
        coverage: above 0, below 1.

    Returns:
        The threshold; None where it would be infinite, as there are fewer units than `least_units`.
    """
    _, own, n_labels = np.unique(unit, return_inverse=True, return_counts=True)
    weight = 1 / ((len(n_labels) + 1) * n_labels[own])
    order = np.argsort(scores, kind="stable")
    place = int(np.searchsorted(weight[order].cumsum(), coverage - _ROUNDING))
    return float(scores[order[place]]) if place < len(scores) else None


def least_units(coverage: float) -> int:
    """How many units it takes for a threshold: U / (U + 1) ≥ coverage."""
    return math.ceil(coverage / (1 - coverage) - _ROUNDING)
