"""What is fitted of numbers that belong to many codes, however many numbers there are, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

_SAMPLED, _SAMPLED_OF_EACH = 2_000_000, 500  # of more numbers, percentiles are an even sample's
_UNBOUNDED = float(np.finfo(np.float32).max)

Numbers = Callable[[], Iterator[tuple[Int64[np.ndarray, "_n"], Float64[np.ndarray, "_n"]]]]
"""Iterates over parts of the training split: numbers, and the group that each belongs to."""


@dataclass(frozen=True)
class Scales:
    """Of each group of numbers.

    Attributes:
        mean: after clipping; 0 where there is no number.
        std: after clipping; 1 where the numbers do not vary.
        low, high: where to clip; None: not at all. A group that varies, but not within its percentiles, is
            left alone.
    """

    mean: Float64[np.ndarray, "group"]
    std: Float64[np.ndarray, "group"]
    low: Float64[np.ndarray, "group"] | None
    high: Float64[np.ndarray, "group"] | None


def fit_scales(numbers: Numbers, counts: Int64[np.ndarray, "group"], clip: Sequence[float] | None) -> Scales:
    """Percentiles, mean and standard deviation of each group.

    Args:
        numbers: all of them; iterated over up to three times.
        counts: how many each group has.
        clip: percentiles to clip at; None: no clipping.
    """
    low, high = (None, None) if clip is None else percentiles(numbers, counts, clip)

    def total(of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
        sums = np.zeros(len(counts))
        for group, values in numbers():
            if low is not None and high is not None:
                values = np.clip(values, low[group], high[group])
            sums += np.bincount(group, of(group, values), len(counts))
        return sums

    n = np.maximum(counts, 1)
    mean = total(lambda group, values: values) / n
    std = np.sqrt(total(lambda group, values: (values - mean[group]) ** 2) / n)
    std = np.where(std > 1e-12 * np.maximum(np.abs(mean), 1e-30), std, 1.0)
    return Scales(mean, std, low, high)


def percentiles(
    numbers: Numbers, counts: Int64[np.ndarray, "group"], clip: Sequence[float]
) -> tuple[Float64[np.ndarray, "group"], Float64[np.ndarray, "group"]]:
    """Two percentiles of each group: exact of a group with few numbers, else those of every so many-th."""
    stride = -(-counts // max(_SAMPLED_OF_EACH, _SAMPLED // max(len(counts), 1)))
    least, most = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    met = np.zeros(len(counts), np.int64)
    groups, sampled = [np.zeros(0, np.int64)], [np.zeros(0)]
    for group, values in numbers():
        if not len(group):
            continue
        order = np.argsort(group, kind="stable")
        group, values = group[order], values[order]
        start = np.flatnonzero(np.diff(group, prepend=-1))
        there, size = group[start], np.diff(start, append=len(group))
        least[there] = np.minimum(least[there], np.minimum.reduceat(values, start))
        most[there] = np.maximum(most[there], np.maximum.reduceat(values, start))
        place = np.arange(len(group)) + np.repeat(met[there] - start, size)
        kept = place % stride[group] == 0
        groups.append(group[kept])
        sampled.append(values[kept])
        met[there] += size
    low, high = _of_sorted(np.concatenate(groups), np.concatenate(sampled), len(counts), clip)
    # Clipped to a point, a flag that is rarely set would never be seen; a true constant still is clipped.
    free = (counts == 0) | ((low == high) & (least < most))
    low[free], high[free] = -_UNBOUNDED, _UNBOUNDED
    return low, high


def _of_sorted(
    group: Int64[np.ndarray, "number"],
    values: Float64[np.ndarray, "number"],
    n_groups: int,
    clip: Sequence[float],
) -> list[Float64[np.ndarray, "group"]]:
    """Percentiles of each group, between neighbours in a line; 0 of an empty one."""
    values = np.append(values[np.lexsort((values, group))], 0.0)
    size = np.bincount(group, minlength=n_groups)
    first = np.cumsum(size) - size
    found = []
    for percentile in clip:
        place = np.maximum(size - 1, 0) * (percentile / 100)
        below = np.floor(place).astype(np.int64)
        above = np.minimum(below + 1, np.maximum(size - 1, 0))
        share = place - below
        mixed = values[first + below] * (1 - share) + values[first + above] * share
        found.append(np.where(size > 0, mixed, 0.0))
    return found
