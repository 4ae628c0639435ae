"""Ranges of samples of about one size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

Ranges = list[tuple[int, int]]


def cut(rows: Int64[np.ndarray, "sample"], size: int) -> Ranges:
    """Neighbouring samples with about `size` rows together; a sample is never divided."""
    if not len(rows):
        return []
    before = np.cumsum(rows + 1) - rows - 1  # a sample without rows counts too
    first = np.flatnonzero(np.diff(before // size, prepend=-1)).tolist()
    return list(zip(first, [*first[1:], len(rows)], strict=True))
