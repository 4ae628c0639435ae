from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmseq.heads.metrics import Brier, Concordance

TIME = [5, 6, 6, 2.5, 4, 4, 8, 1, 9, 7.5, 4, 3]
EVENT = [True, False, True, True, True, True, False, False, False, True, False, True]
TOLD = [4.0, 5, 5, 3, 3, 6, 9, 2, 4, 9, 4, 1]
APART = [5, 6, 6.5, 2.5, 4, 4.2, 8, 1, 9, 7.5, 4.4, 3]
AT = [2.0, 4.1, 7.0]


def _concordance(told: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    metric = Concordance()
    metric.update(*(torch.from_numpy(np.asarray(x)) for x in (told, time, event)))
    return float(metric.compute())


def _brier(survival: np.ndarray, time: np.ndarray, event: np.ndarray, at: list[float]) -> float:
    metric = Brier(at)
    metric.update(*(torch.from_numpy(np.asarray(x)) for x in (survival, time, event)))
    return float(metric.compute())


def _survival(at: list[float]) -> np.ndarray:
    return np.exp(-np.array(at) / np.array(TOLD)[:, None])


def test_concordance_with_ties_is_that_of_lifelines() -> None:
    """lifelines 0.30.3: concordance_index(TIME, TOLD, EVENT)."""
    assert _concordance(np.array(TOLD), np.array(TIME), np.array(EVENT)) == pytest.approx(0.7727272727272727)


def test_brier_is_that_of_scikit_survival() -> None:
    """scikit-survival 0.28.0: its brier_score and integrated_brier_score; no event and censoring coincide."""
    time, event = np.array(APART), np.array(EVENT)
    each = [_brier(_survival([t]), time, event, [t]) for t in AT]
    assert each == pytest.approx([0.1875244222658816, 0.22752762263942364, 0.18977560709928362])
    assert _brier(_survival(AT), time, event, AT) == pytest.approx(0.2081788660543392)


@pytest.mark.parametrize("seed", range(8))
def test_concordance_counts_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 40))
    time, event, told = rng.integers(0, 8, n).astype(float), rng.random(n) < 0.6, rng.integers(0, 6, n) / 3
    credit, pairs = 0.0, 0
    for i in np.flatnonzero(event):
        for j in range(n):
            if time[j] > time[i] or (time[j] == time[i] and not event[j]):
                pairs += 1
                credit += (told[j] > told[i]) + (told[j] == told[i]) / 2
    assert _concordance(told, time, event) == pytest.approx(
        credit / pairs if pairs else math.nan, nan_ok=True
    )


def test_weights_by_hand_where_events_and_censoring_coincide() -> None:
    """Of 4: censored at 1, event and censored at 2, event at 3. G falls to 3/4 at 1, to 3/8 at 2."""
    time, event = np.array([1.0, 2, 2, 3]), np.array([False, True, False, True])
    survival = np.array([[0.9], [0.6], [0.8], [0.7]])
    expected = (0.6**2 / 0.75 + 0.3**2 / 0.375) / 4
    assert _brier(survival, time, event, [2.0]) == pytest.approx(expected)


def test_times_that_nobody_lives_beyond_are_left_out() -> None:
    time, event = np.array(APART), np.array(EVENT)
    told = np.concatenate([_survival(AT), np.full((12, 1), 0.5)], 1)
    assert _brier(told, time, event, [*AT, 9.0]) == _brier(_survival(AT), time, event, AT)
    assert math.isnan(_brier(_survival([20.0]), time, event, [20.0]))


def test_without_a_known_pair_there_is_no_concordance() -> None:
    assert math.isnan(_concordance(np.ones(3), np.array([1.0, 2, 3]), np.zeros(3, bool)))
    assert math.isnan(_concordance(np.ones(2), np.ones(2), np.ones(2, bool)))


def test_against_lifelines_itself() -> None:
    reason = "needs lifelines, which does not go with the pandas that is tested with; numbers of it are above"
    utils = pytest.importorskip("lifelines.utils", reason=reason)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        time, event, told = rng.integers(0, 8, 50), rng.random(50) < 0.6, rng.integers(0, 6, 50)
        expected = utils.concordance_index(time, told, event)
        assert _concordance(told.astype(float), time.astype(float), event) == pytest.approx(expected)


def test_against_scikit_survival_itself() -> None:
    metrics = pytest.importorskip("sksurv.metrics", reason="needs scikit-survival; numbers of it are above")
    from sksurv.util import Surv

    for seed in range(20):
        rng = np.random.default_rng(seed)
        time, event = rng.exponential(10, 80), rng.random(80) < 0.6
        at = np.quantile(time, [0.1, 0.3, 0.5, 0.8])
        told = np.sort(rng.random((80, 4)), 1)[:, ::-1].copy()
        known = Surv.from_arrays(event, time)
        expected = metrics.integrated_brier_score(known, known, told, at)
        assert _brier(told, time, event, at.tolist()) == pytest.approx(expected)
