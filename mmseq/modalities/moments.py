"""What is fitted of numbers on the training split, however large, a part at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmseq.modalities import Stored

_SAMPLED_CELLS, _SAMPLED_ROWS = 2_000_000, 100_000  # of a larger split, percentiles are an even sample's


def percentiles(stored: Stored, clip: list[float] | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Where to clip each feature; a feature that varies, but not within the percentiles, is left alone."""
    if clip is None:
        return None, None
    stride = -(-stored.n_events // max(_SAMPLED_ROWS, _SAMPLED_CELLS // len(stored.columns)))
    least, most, sampled = np.inf, -np.inf, []
    for chunk in stored.chunks():
        least = np.fmin(least, np.fmin.reduce(chunk["values"], axis=0, initial=np.inf))
        most = np.fmax(most, np.fmax.reduce(chunk["values"], axis=0, initial=-np.inf))
        sampled.append(chunk["values"][::stride])
    values = np.concatenate(sampled).astype(np.float64)
    empty = np.isnan(values).all(0)
    values[:, empty] = 0
    low, high = np.nanpercentile(values, clip, axis=0)
    # Clipped to a point, a flag that is rarely set would never be seen; a true constant still is clipped.
    free = empty | ((low == high) & (least < most))
    low[free], high[free] = -np.finfo(np.float32).max, np.finfo(np.float32).max
    return low, high


def summary(
    stored: Stored, low: np.ndarray | None, high: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation (1 where none varies) and missing share of each feature, after clipping."""
    width = len(stored.columns)
    count, total = np.zeros(width), np.zeros(width)
    for values in _clipped(stored, low, high):
        count += (~np.isnan(values)).sum(0)
        total += np.nansum(values, axis=0)
    mean = total / np.maximum(count, 1)
    square = sum(np.nansum((values - mean) ** 2, axis=0) for values in _clipped(stored, low, high))
    std = np.sqrt(square / np.maximum(count, 1))
    return (
        mean,
        np.where(std > 1e-12 * np.maximum(np.abs(mean), 1e-30), std, 1.0),
        1 - count / stored.n_events,
    )


def _clipped(stored: Stored, low: np.ndarray | None, high: np.ndarray | None) -> Iterator[np.ndarray]:
    for chunk in stored.chunks():
        values = chunk["values"].astype(np.float64)
        yield values if low is None else np.clip(values, low, high)
