"""Thresholds by hand, and what share of new labels keeps them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmseq.calibration.conformal import least_units, threshold

REPEATS = 200


def binomial_interval(n: int, p: float, level: float = 0.99) -> tuple[int, int]:
    """The counts between which a share of `level` of a binomial distribution lies."""
    k = np.arange(n + 1)
    log_choose = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    up_to = np.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p)).cumsum()
    tail = (1 - level) / 2
    return int(np.searchsorted(up_to, tail)), int(np.searchsorted(up_to, 1 - tail))


@pytest.mark.parametrize(
    ("n", "coverage", "rank"), [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.9, 90)]
)
def test_with_a_label_a_unit_it_is_an_order_statistic(n: int, coverage: float, rank: int) -> None:
    """⌈(n + 1)·coverage⌉. Caught: n in the place of n + 1 (9 of 10); sums of weights that round up."""
    scores = np.random.default_rng(0).permutation(n).astype(float)
    assert threshold(scores, np.arange(n), coverage) == rank - 1


def test_units_of_many_labels_count_once() -> None:
    """Weights ¼ for the unit of one, 1/16 for each of four, ¼ for infinity: 0 reaches ¼, and the next ½."""
    scores, unit = np.array([0.0, 4, 3, 2, 1, 9]), np.array([0, 1, 1, 1, 1, 2])
    assert threshold(scores, unit, 0.25) == 0
    assert threshold(scores, unit, 0.26) == 1
    assert threshold(scores, unit, 0.5) == 4
    assert threshold(scores, unit, 0.75) == 9
    assert threshold(scores, unit, 0.76) is None


@pytest.mark.parametrize(
    ("coverage", "least"), [(0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1), (0.8, 4), (0.85, 6)]
)
def test_least_units(coverage: float, least: int) -> None:
    """One fewer has no finite threshold."""
    assert least_units(coverage) == least
    for n, known in ((least, True), (least - 1, False)):
        assert (threshold(np.zeros(n), np.arange(n), coverage) is not None) == known


def test_coverage_of_one_new_label_a_repeat() -> None:
    """Of 200 new labels, each with its own threshold from 19 others, as many as a binomial of 0.9 lets be.

    Caught: the largest of 19 scores taken for the 18th, 194 of them.
    """
    scores = np.random.default_rng(1).standard_cauchy((REPEATS, 20))
    bounds = np.array([threshold(own[1:], np.arange(19), 0.9) for own in scores])
    low, high = binomial_interval(REPEATS, 0.9)
    assert low <= (scores[:, 0] <= bounds).sum() <= high


def test_mean_coverage_is_exact() -> None:
    """Over repeats, P(score ≤ threshold) of uniform scores is Beta(18, 2): 0.9, by four standard errors.

    Caught: the 17th score, 0.85.
    """
    scores = np.random.default_rng(2).random((2_000, 19))
    bounds = np.array([threshold(own, np.arange(19), 0.9) for own in scores], float)
    error = math.sqrt(0.9 * 0.1 / 21 / len(scores))
    assert abs(bounds.mean() - 0.9) < 4 * error
    assert bounds.std() == pytest.approx(math.sqrt(0.9 * 0.1 / 21), rel=0.1)


def test_dependent_labels_of_a_unit_still_keep_it() -> None:
    """Units of 1 to 40 labels that are nearly alike, the large ones unlike the small: a label of a new unit.

    Caught: every label counted as one, by which the many of large units set the threshold, 0.71.
    """
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(REPEATS * 4):
        sizes = np.where(rng.random(31) < 0.3, 40, 1)
        unit = np.repeat(np.arange(31), sizes)
        centre = rng.normal(size=31) * np.where(sizes == 1, 3, 1)
        scores = centre[unit] + rng.normal(size=len(unit)) / 10
        bound = threshold(scores[unit > 0], unit[unit > 0], 0.9)
        assert bound is not None
        covered.append((scores[unit == 0] <= bound).mean())
    assert np.mean(covered) > 0.9 - 3 * math.sqrt(0.09 / len(covered))
