"""Parts of the labels, of which each is judged by the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmseq.calibration.classes import ClassTask
from mmseq.calibration.evidence import N_FOLDS, Choice, Evidence, crossed_thresholds
from mmseq.heads.classification import ClassificationHead, ClassSpec

Told = Callable[..., Evidence]
HEAD = ClassificationHead(ClassSpec(classes=["a", "b", "c"], counts=[5, 5, 5]), 2)


@pytest.fixture
def evidence(told: Told) -> Evidence:
    """Three labels of each of 23 units."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(69, 3, generator=generator, dtype=torch.float64)
    truth = torch.randint(0, 3, (69,), generator=generator)
    return told(HEAD, logits, truth, unit=np.repeat(np.arange(23), 3))


def test_units_stay_together_in_parts_of_one_size(evidence: Evidence) -> None:
    """Caught: labels that are divided, not units."""
    for rows in (np.ones(69, bool), np.arange(69) % 7 > 0):
        fold = evidence.folds(rows)
        parts = [set(fold[evidence.unit[rows] == unit]) for unit in range(23)]
        assert all(len(part) == 1 for part in parts)
        sizes = np.bincount([part.pop() for part in parts])
        assert len(sizes) == N_FOLDS and np.ptp(sizes) == 1


def test_no_label_has_a_part_in_what_judges_it(evidence: Evidence, told: Told) -> None:
    """Other labels of its part may be anything. Caught: maps and thresholds that were fitted to all."""
    (own,) = ClassTask.labels(evidence, Choice(0.8))
    here = own.fold == own.fold[0]
    changed = own.truth.clone()
    changed[torch.from_numpy(here)] = (changed[torch.from_numpy(here)] + 1) % 3
    (other,) = ClassTask.labels(told(HEAD, evidence.parameters, changed, unit=evidence.unit), Choice(0.8))
    for method in ("temperature", "vector"):
        there, then = own.crossed_log_p(method), other.crossed_log_p(method)
        assert torch.equal(there[here], then[here])
        assert not torch.equal(there[~here], then[~here])
    scores = np.arange(69.0)
    bounds = crossed_thresholds(scores, own.unit, own.fold, 0.8)
    moved = crossed_thresholds(np.where(here, 1e6, scores), own.unit, own.fold, 0.8)
    assert bounds is not None and moved is not None
    assert (bounds[here] == moved[here]).all() and (bounds[~here] != moved[~here]).all()


def test_a_part_with_too_few_others_has_no_threshold() -> None:
    """Ten units allow 0.9; eight of them, without two, do not."""
    unit, scores = np.arange(10), np.arange(10.0)
    assert crossed_thresholds(scores, unit, unit % 5, 0.9) is None
    assert crossed_thresholds(scores, unit, unit % 5, 0.8) is not None
