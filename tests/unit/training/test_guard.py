"""When a loss is a spike."""

from __future__ import annotations

import numpy as np
import pytest

from mmseq.config.training import GuardConfig
from mmseq.training.guard import Guard

SPIKE = GuardConfig(spike=4)


def _settled(losses: list[float]) -> Guard:
    guard = Guard()
    for loss in losses:
        guard.take(loss)
    return guard


def test_mean_and_deviation_of_what_was_taken() -> None:
    """At first of all losses alike.

    Caught: an average that begins at 0; one that never forgets.
    """
    guard = _settled([3.0, 5.0])
    assert (guard.mean, guard.deviation, guard.n) == (4.0, 1.0, 2)
    guard = _settled([100.0] * 50 + [2.0] * 500)
    assert guard.mean == pytest.approx(2, abs=0.01) and guard.deviation == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("mean", [0.0, -50.0, 3.0])
def test_a_spike_is_so_many_deviations_above_the_mean(mean: float) -> None:
    """Whatever the sign of the loss; a loss far below it is none.

    Caught: a multiple of the mean.
    """
    guard = _settled([mean + wave for wave in (-1.0, 1.0) * 100])
    assert guard.deviation == pytest.approx(1, abs=0.05)
    assert not guard.is_spike(mean + 3.5, SPIKE) and guard.is_spike(mean + 4.5, SPIKE)
    assert not guard.is_spike(mean - 100, SPIKE)
    assert not guard.is_spike(mean + 1e9, GuardConfig())


def test_no_spike_before_there_is_anything_to_compare_with() -> None:
    """Caught: spikes told after two losses; none told before forty."""
    guard = _settled(np.random.default_rng(0).normal(size=19).tolist())
    assert not guard.is_spike(1e9, SPIKE)
    guard.take(0.0)
    assert guard.is_spike(1e9, SPIKE)


def test_bad_steps_are_counted_in_all_and_in_a_row() -> None:
    """Caught: a row that a good step does not end; one that ends the count of all, too."""
    guard = _settled([1.0])
    guard.skip()
    guard.skip()
    assert (guard.in_a_row, guard.skipped, guard.n, guard.mean) == (2, 2, 1, 1.0)
    guard.take(1.0)
    guard.skip()
    assert (guard.in_a_row, guard.skipped) == (1, 3)
