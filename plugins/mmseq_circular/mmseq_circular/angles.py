"""What the modality and the head have in common: angles of numbers with a period, and their statistics."""

from __future__ import annotations

import math

import numpy as np


def angles(values: np.ndarray, period: float) -> np.ndarray:
    """Numbers with a period → radians, in float64."""
    return values.astype(np.float64) * (2 * math.pi / period)


def concentration(length: float) -> float:
    """κ of a von Mises distribution whose mean vector has this length, at most 1000.

    Source: Banerjee et al. 2005, "Clustering on the unit hypersphere using von Mises-Fisher distributions",
    equation 4.4.
    """
    return min(length * (2 - length**2) / max(1 - length**2, 1e-6), 1000.0)
