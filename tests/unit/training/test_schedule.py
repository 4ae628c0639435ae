from __future__ import annotations

import math

import pytest

from mmseq.training.schedule import rate


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_rises_over_the_warm_up_and_reaches_the_peak(schedule: str) -> None:
    rates = [rate(step, 100, 0.1, schedule) for step in range(11)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates == sorted(rates)
    assert rates[10] == 1.0


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_without_warm_up_begins_at_the_peak(schedule: str) -> None:
    assert rate(0, 100, 0.0, schedule) == 1.0


def test_ends_near_zero_or_stays() -> None:
    assert rate(99, 100, 0.1, "constant") == 1.0
    assert rate(55, 100, 0.1, "linear") == pytest.approx(0.5)
    assert rate(55, 100, 0.1, "cosine") == pytest.approx(0.5)
    assert 0 < rate(99, 100, 0.1, "linear") < 0.02
    assert rate(99, 100, 0.1, "cosine") == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_is_never_outside_0_and_1(schedule: str) -> None:
    for total in (1, 2, 7):
        for step in range(total + 2):
            assert 0 <= rate(step, total, 0.5, schedule) <= 1
    assert rate(0, 1, 0.9, schedule) > 0, "a run of one step learns"
