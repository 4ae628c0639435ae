"""Measures by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mmseq.calibration.measures import by_unit, calibration_error, likeliest, negative_log_likelihood

P = torch.tensor([[0.9, 0.1], [0.88, 0.12], [0.4, 0.6], [0.35, 0.65]], dtype=torch.float64)
TRUTH = torch.tensor([0, 1, 1, 1])


def test_calibration_error() -> None:
    """0.9 and 0.88 are in bin 14 of 15, (0.867, 0.933]; 0.6 in bin 9, its upper end; 0.65 in bin 10.

    Caught: bins that hold their lower ends, and differences within a bin that do not cancel out.
    """
    by_hand = (abs(1 - 1.78) + (1 - 0.6) + (1 - 0.65)) / 4
    assert calibration_error(P.log(), TRUTH) == pytest.approx(by_hand)


def test_certain_answers_have_a_bin() -> None:
    sure = torch.tensor([[0.0, -800.0]], dtype=torch.float64)
    assert calibration_error(sure, torch.tensor([0])) == 0
    assert calibration_error(sure, torch.tensor([1])) == 1


def test_negative_log_likelihood() -> None:
    by_hand = -(math.log(0.9) + math.log(0.12) + math.log(0.6) + math.log(0.65)) / 4
    assert negative_log_likelihood(P.log(), TRUTH) == pytest.approx(by_hand)


def test_likeliest() -> None:
    """Classes until they add up to the coverage; one is enough where it has it alone."""
    log_p = torch.tensor([[0.2, 0.5, 0.3], [0.9, 0.06, 0.04]], dtype=torch.float64).log()
    assert likeliest(log_p, 0.75).tolist() == [[False, True, True], [True, False, False]]
    assert likeliest(log_p, 0.95).tolist() == [[True, True, True], [True, True, False]]


def test_by_unit() -> None:
    """Caught: the mean of all labels, 0.4."""
    assert by_unit(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0]), np.array([3, 5, 5, 5, 5])) == 0.625


def test_without_labels_nothing_has_a_value() -> None:
    none = torch.zeros(0, 2, dtype=torch.float64)
    values = [
        calibration_error(none, torch.zeros(0, dtype=torch.int64)),
        negative_log_likelihood(none, torch.zeros(0, dtype=torch.int64)),
        by_unit(torch.zeros(0), np.zeros(0, np.int64)),
    ]
    assert all(map(math.isnan, values))
