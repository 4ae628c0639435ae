"""Intervals from resampled groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import Head
from mmseq.heads.classification import ClassificationHead, ClassSpec
from mmseq.heads.regression import RegressionHead, RegressionSpec
from mmseq.inference.bootstrap import Answers, Collected, differences, intervals
from mmseq.ragged import starts_of

HEAD = ClassificationHead(ClassSpec(classes=["no", "yes"], counts=[5, 5]), 2)


def collected(right: list[bool], sizes: list[int] | None = None, **changes: Any) -> Collected:
    """Units of which all labels are answered rightly, or none."""
    sizes = sizes or [1] * len(right)
    truth = torch.tensor([0, 1]).repeat(sum(sizes))[: sum(sizes)]
    good = torch.tensor(right).repeat_interleave(torch.tensor(sizes))
    logits = torch.where(good, 1.0, -1.0) * (2.0 * truth - 1)
    starts = starts_of(np.array(sizes))
    answers = Answers(HEAD, logits[:, None], Target(torch.arange(len(truth)), truth), starts)
    units = changes.get("units", np.arange(len(right)))
    return Collected(units, {changes.get("task", "y"): answers})


def test_of_a_share_it_is_the_binomial_interval() -> None:
    """70 of 100 right: 0.7 ± 1.96·√(0.7·0.3/100)."""
    found = intervals(collected([True] * 70 + [False] * 30), 200)["y"]["accuracy"]
    low, high = found["interval"]
    assert found["value"] == pytest.approx(0.7)
    assert (low, high) == (pytest.approx(0.61, abs=0.02), pytest.approx(0.79, abs=0.02))


def test_groups_are_resampled_whole() -> None:
    """As many labels in a tenth of the units are less sure. caught: labels resampled one by one."""
    one, ten = collected([True] * 70 + [False] * 30), collected([True] * 7 + [False] * 3, [10] * 10)
    widths = [np.ptp(intervals(c, 100)["y"]["accuracy"]["interval"]) for c in (one, ten)]
    assert widths[1] > 2 * widths[0]


def test_it_repeats() -> None:
    assert intervals(collected([True, False, True]), 50) == intervals(collected([True, False, True]), 50)


def test_differences_are_paired() -> None:
    """Two runs that are right at the same places but one: the rest cancels out."""
    mine, other = collected([True] * 60 + [False] * 40), collected([True] * 50 + [False] * 50)
    found = differences(mine, other, 200)["y"]["accuracy"]
    assert (found["run"], found["other"]) == (pytest.approx(0.6), pytest.approx(0.5))
    low, high = found["difference"]
    assert 0.02 < low < 0.07 and 0.13 < high < 0.18
    same = differences(mine, mine, 20)["y"]["accuracy"]["difference"]
    assert same == (0.0, 0.0)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (collected([True] * 3, units=np.array([0, 1, 3])), "not the same ones; train both on the same split"),
        (collected([True] * 3, task="z"), "y and z have none in common"),
        (collected([True] * 3, [1, 2, 1]), "task 'y' has other labels in the other run"),
    ],
)
def test_what_cannot_be_compared(other: Collected, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        differences(collected([True] * 3), other, 10)


def one_a_unit(head: Head, value: Any, observed: Any = None) -> Collected:
    """Units of a label each, all answered alike."""
    target = Target(torch.arange(len(value)), value, observed)
    answers = Answers(head, head.baseline(target), target, np.arange(len(value) + 1))
    return Collected(np.arange(len(value)), {"y": answers})


def test_labels_of_another_column_are_not_compared() -> None:
    """Runs that call two columns by one name. Caught: only how many labels there are, compared."""
    head = RegressionHead(RegressionSpec(columns=["a"], mean=[0.0], std=[1.0]), 2)
    mine, other = one_a_unit(head, torch.tensor([[1.0], [2]])), one_a_unit(head, torch.tensor([[1.0], [3]]))
    with pytest.raises(ConfigError, match="has other labels in the other run"):
        differences(mine, other, 10)
    with pytest.raises(ConfigError, match="has other labels in the other run"):
        differences(mine, collected([True, True]), 10)


def test_labels_are_compared_as_they_were_read() -> None:
    """Classes, columns, or labels of a unit in another order; what stands where nothing was observed.

    Caught: columns compared by their place, so that `[a, b]` and `[b, a]` were told to be other labels.
    """
    turned = ClassificationHead(ClassSpec(classes=["yes", "no"], counts=[5, 5]), 2)
    found = differences(
        one_a_unit(HEAD, torch.tensor([0, 1, 1])), one_a_unit(turned, torch.tensor([1, 0, 0]))
    )
    assert found["y"]["accuracy"]["run"] == pytest.approx(1 / 3)
    head = RegressionHead(RegressionSpec(columns=["a", "b"], mean=[0.0, 0], std=[1.0, 1]), 2)
    mask = torch.tensor([[True, False], [True, True]])
    filled = [one_a_unit(head, torch.tensor([[1.0, x], [2, 3]]), mask) for x in (0.0, 9.0)]
    assert differences(*filled, 5)["y"]["mae.a"]["difference"] == (0, 0)
    swapped = RegressionHead(RegressionSpec(columns=["b", "a"], mean=[0.0, 0], std=[1.0, 1]), 2)
    columns = one_a_unit(swapped, torch.tensor([[0.0, 1], [3, 2]]), mask.flip(1))
    assert differences(filled[0], columns, 5)["y"]["mae.a"]["difference"] == (0, 0)
    both = (
        Answers(head, torch.zeros(2, 2), Target(torch.arange(2), torch.tensor(value)), np.array([0, 2]))
        for value in ([[1.0, 0], [2, 1]], [[2.0, 1], [1, 0]])
    )
    one, two = (Collected(np.arange(1), {"y": answers}) for answers in both)
    assert differences(one, two, 5)["y"]["mae.a"]["difference"] == (0, 0)


def test_a_metric_without_value_has_no_interval() -> None:
    only_true = Target(torch.arange(2), torch.tensor([1, 1]))
    answers = Answers(HEAD, torch.tensor([[1.0], [2.0]]), only_true, np.array([0, 1, 2]))
    low, high = intervals(Collected(np.arange(2), {"y": answers}), 5)["y"]["auroc"]["interval"]
    assert np.isnan(low) and np.isnan(high)
