"""Calibrated classes: probabilities, sets and what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.calibration.classes import ClassTask
from mmseq.calibration.evidence import Choice, Evidence
from mmseq.heads import Head
from mmseq.heads.classification import ClassificationHead, ClassSpec
from mmseq.heads.multilabel import MultilabelHead, MultilabelSpec
from mmseq.heads.ordinal import OrdinalHead, OrdinalSpec

Told = Callable[..., Evidence]
REPEATS, FITTED = 200, 59
THREE = ClassificationHead(ClassSpec(classes=["a", "b", "c"], counts=[5, 5, 5]), 2)
TWO = ClassificationHead(ClassSpec(classes=["no", "yes"], counts=[5, 5]), 2)
FLAGS = MultilabelHead(MultilabelSpec(columns=["x", "y"], rates=[0.5, 0.5], counts=[(5, 5), (5, 5)]), 2)
GRADE = OrdinalHead(OrdinalSpec(classes=["low", "mid", "high"], counts=[5, 5, 5]), 2)


def overconfident(n: int, seed: int, n_classes: int = 3) -> tuple[Tensor, Tensor]:
    """Logits that are twice as large as they should be, and classes."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, n_classes, generator=generator, dtype=torch.float64)
    return 2 * logits, torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]


def test_coverage_over_repeats(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 times fitted on 59 labels, scale and threshold; 50 new ones: as many in their sets as should be.

    Coverage given the threshold is Beta(54, 6), whose variance, 0.9·0.1/61, adds to that of 50 labels.
    Caught: thresholds of probabilities that were not calibrated, 0.94; the 52nd score for the 54th, 0.86.
    """
    monkeypatch.setattr("mmseq.calibration.evidence.N_FOLDS", 2)  # fewer fits; five are covered below
    shares, literal = [], 0
    for repeat in range(REPEATS):
        logits, truth = overconfident(FITTED + 50, repeat)
        task, _ = ClassTask.fit(told(THREE, logits[:FITTED], truth[:FITTED]), Choice(0.9))
        _, further = task.apply(THREE, logits[FITTED:], 0.9)
        sets = np.stack([further[f"set_{name}"] for name in "abc"], 1)
        held = sets[np.arange(50), truth[FITTED:].numpy()]
        shares.append(held.mean())
        literal += int(held[0])
    error = math.sqrt((0.09 / 61 + 0.09 / 50) / REPEATS)
    assert abs(np.mean(shares) - 0.9) < 3 * error
    assert 168 <= literal <= 191  # 99 % of a binomial of 200 at 0.9


def test_calibrated_probabilities_are_nearer(told: Told) -> None:
    """Of logits twice too large the scale is a half; the error of the most probable class falls."""
    logits, truth = overconfident(4_000, 0)
    task, measures = ClassTask.fit(told(THREE, logits, truth), Choice(0.9))
    assert task.columns[0].affine.scale == pytest.approx([0.5], rel=0.1)
    before, after = measures[0]["ece"]
    assert after < 0.03 < 0.1 < before
    assert measures[0]["nll"].after < measures[0]["nll"].before - 0.1
    assert abs(measures[0]["coverage"].after - 0.9) < 0.02


@pytest.mark.parametrize("head", [TWO, THREE, FLAGS, GRADE], ids=["two", "three", "flags", "grade"])
def test_applied_is_the_affine_of_log_p(head: Head, told: Told) -> None:
    """What is decoded from the calibrated parameters are the mapped probabilities; also of one row alone."""
    width = {"TWO": 1}.get("TWO" if head is TWO else "", 2 if head in (FLAGS, GRADE) else 3)
    generator = torch.Generator().manual_seed(3)
    parameters = torch.randn(80, width, generator=generator, dtype=torch.float64)
    log_p = head.log_classes(parameters)  # type: ignore[operator]
    value = torch.randint(0, log_p.shape[2], (80,), generator=generator)
    value = torch.stack([value, 1 - value], 1).double() if head is FLAGS else value
    task, _ = ClassTask.fit(told(head, parameters, value), Choice(0.8, "vector"))
    mapped, further = task.apply(head, parameters, 0.8)
    found = head.log_classes(mapped)  # type: ignore[operator]
    for c, column in enumerate(task.columns):
        assert bool(found[:, c].isclose(column.affine(log_p[:, c]), atol=1e-9).all())
    alone, sets = task.apply(head, parameters[7:8], 0.8)
    assert bool(alone.isclose(mapped[7:8], atol=1e-12).all())
    assert {name: own.tolist() for name, own in sets.items()} == {
        name: own[7:8].tolist() for name, own in further.items()
    }


def test_coverage_with_scales_and_biases(told: Told) -> None:
    """Ten free numbers fitted to 39 labels, in five parts, which costs a little: 0.915 over many repeats.

    Caught: scores of probabilities that were fitted to the same labels, 0.858.
    """
    head = ClassificationHead(ClassSpec(classes=list("abcde"), counts=[5] * 5), 2)
    shares = []
    for repeat in range(30):
        logits, truth = overconfident(539, repeat, n_classes=5)
        task, _ = ClassTask.fit(told(head, logits[:39], truth[:39]), Choice(0.9, "vector"))
        _, further = task.apply(head, logits[39:], 0.9)
        sets = np.stack([further[f"set_{name}"] for name in "abcde"], 1)
        shares.append(sets[np.arange(500), truth[39:].numpy()].mean())
    error = math.sqrt((0.09 / 41 + 0.09 / 500) / 30)
    assert -2.5 * error < np.mean(shares) - 0.9 < 0.015 + 2.5 * error


def test_names_of_sets(told: Told) -> None:
    value = torch.arange(40)[:, None].expand(40, 2) % 2
    task, _ = ClassTask.fit(told(FLAGS, torch.randn(40, 2), value.double()), Choice(0.8))
    _, further = task.apply(FLAGS, torch.zeros(3, 2), 0.8)
    assert list(further) == ["x.set_0", "x.set_1", "y.set_0", "y.set_1"]
    assert all(own.dtype == bool and len(own) == 3 for own in further.values())


def test_no_set_is_empty(told: Told) -> None:
    """Of a model that is always right the most probable class is in the set, however little is asked for."""
    truth = torch.arange(60) % 3
    logits = 4 * torch.nn.functional.one_hot(truth, 3).double()
    task, _ = ClassTask.fit(told(THREE, logits, truth), Choice(0.5))
    _, further = task.apply(THREE, torch.zeros(1, 3, dtype=torch.float64), 0.5)
    assert sum(own.sum() for own in further.values()) == 1


def test_what_is_not_observed_does_not_matter(told: Told) -> None:
    """Whatever stands there. Caught: masks left out, by a NaN that is taken for "no"."""
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(60, 2, generator=generator, dtype=torch.float64)
    value = torch.randint(0, 2, (60, 2), generator=generator).double()
    observed = torch.rand(60, 2, generator=generator) < 0.6
    filled = [torch.where(observed, value, fill) for fill in (0.0, 1.0, math.nan)]
    found = [ClassTask.fit(told(FLAGS, parameters, own, observed), Choice(0.8, "vector")) for own in filled]
    assert found[0] == found[1] == found[2]
    rows = observed[:, 0]
    unit = np.arange(60)[rows.numpy()]
    evidence = told(FLAGS, parameters[rows], value[rows], unit=unit)
    kept = np.random.default_rng(0).permutation(60)
    object.__setattr__(evidence, "rank", kept)
    alone, _ = ClassTask.fit(evidence, Choice(0.8, "vector"))
    assert alone.columns[0] == found[0][0].columns[0]


def test_too_few_are_told(told: Told) -> None:
    """Eight samples cannot keep 0.9, however many labels they have: probabilities alone are calibrated."""
    logits, truth = overconfident(80, 0)
    evidence = told(THREE, logits, truth, unit=np.repeat(np.arange(8), 10))
    task, measures = ClassTask.fit(evidence, Choice(0.9))
    assert task.columns[0].bound is None and not task.columns[0].is_empty
    assert task.columns[0].remark == "no sets: a coverage of 0.9 needs labels of 9 samples; there are 8"
    assert math.isnan(measures[0]["coverage"].after)
    assert task.apply(THREE, logits, 0.9)[1] == {}


def test_without_labels_nothing_changes(told: Told) -> None:
    task, _ = ClassTask.fit(told(THREE, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)), Choice())
    assert task.columns[0].is_empty and "there are 0" in task.columns[0].remark


def test_labels_that_were_not_fitted_judge_it(told: Told) -> None:
    """What the fit says of them, by hand."""
    logits, truth = overconfident(400, 0)
    task, _ = ClassTask.fit(told(THREE, logits, truth), Choice(0.9))
    logits, truth = overconfident(300, 1)
    (measures,) = task.measure(told(THREE, logits, truth), Choice(0.9))
    mapped, further = task.apply(THREE, logits, 0.9)
    sets = np.stack([further[f"set_{name}"] for name in "abc"], 1)
    assert measures["coverage"].after == pytest.approx(sets[np.arange(300), truth.numpy()].mean())
    assert measures["set size"].after == pytest.approx(sets.sum(1).mean())
    assert measures["nll"].after == pytest.approx(
        float(torch.nn.functional.cross_entropy(mapped, truth)), rel=1e-9
    )


@pytest.mark.parametrize(("head", "fits"), [(THREE, True), (TWO, False), (FLAGS, False)])
def test_it_fits_heads_of_as_many_columns_and_classes(head: Head, fits: bool, told: Told) -> None:
    logits, truth = overconfident(50, 0)
    task, _ = ClassTask.fit(told(THREE, logits, truth), Choice(0.8, "vector"))
    assert task.fits(head) == fits
