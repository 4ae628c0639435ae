from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import f1_score, recall_score
from torchmetrics import Metric

from mmseq.heads.metrics import (
    R2,
    Accuracy,
    Average,
    MacroAuprc,
    MacroAuroc,
    MacroF1,
    MacroRecall,
    Rmse,
    WeightedF1,
)


def test_average_leaves_out_columns_without_labels() -> None:
    metric = Average(3)
    metric.update(torch.tensor([[1.0, 5, 9]]), torch.tensor([[True, True, False]]))
    metric.update(torch.tensor([[3.0, math.nan, math.nan]]), torch.tensor([[True, False, False]]))
    assert float(metric.compute()) == (2 + 5) / 2


def test_rmse_is_the_mean_of_roots() -> None:
    metric = Rmse(2)
    metric.update(torch.tensor([[1.0, 9], [7, 9]]))
    assert float(metric.compute()) == 2.5


def test_f1_leaves_out_what_never_occurs() -> None:
    metric = MacroF1(3)
    metric.update(torch.tensor([[True, False, False]]), torch.tensor([[False, True, False]]))
    assert float(metric.compute()) == 0
    metric.update(torch.tensor([[True, False, False]]), torch.tensor([[True, False, False]]))
    assert float(metric.compute()) == pytest.approx((2 / 3 + 0) / 2)


def test_weighted_f1_and_recall_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, answer = torch.randint(0, 4, (2, 60), generator=generator)
    truth[truth == 3] = 0  # predicted, never true
    weighted, recall = WeightedF1(4), MacroRecall(4)
    for part in torch.arange(60).split(17):
        one, other = (torch.nn.functional.one_hot(x[part], 4).bool() for x in (answer, truth))
        weighted.update(one, other)
        recall.update(one, other)
    assert float(weighted.compute()) == pytest.approx(f1_score(truth, answer, average="weighted"))
    assert float(recall.compute()) == pytest.approx(
        recall_score(truth, answer, average="macro", labels=[0, 1, 2])
    )


def test_r2_far_from_zero_keeps_its_digits() -> None:
    truth = 1e9 + torch.arange(5.0, dtype=torch.float64)[:, None]
    metric = R2([1e9])
    metric.update(truth + 1, truth)
    assert float(metric.compute()) == pytest.approx(1 - 5 / 10)


def test_r2_of_equal_labels_is_none() -> None:
    metric = R2([0.0, 0.0])
    metric.update(torch.tensor([[1.0, 1], [2, 2]]), torch.tensor([[0.1, 1], [0.1, 2]]))
    assert float(metric.compute()) == 1  # of the second column alone
    metric = R2([0.0])
    metric.update(torch.tensor([[1.0]] * 3), torch.tensor([[0.1]] * 3))
    assert math.isnan(float(metric.compute()))


def test_ranking_needs_both_answers() -> None:
    metric = MacroAuroc(2)
    truth = torch.tensor([[True, True], [False, True]])
    metric.update(torch.tensor([[0.9, 0.1], [0.2, 0.3]]), truth)
    assert float(metric.compute()) == 1
    metric.update(torch.tensor([[0.0, 0.2]]), ~truth[:1], torch.tensor([[False, False]]))
    assert float(metric.compute()) == 1


@pytest.mark.parametrize("metric", [MacroAuroc(2), MacroAuprc(2)])
def test_ranking_of_what_is_no_number_has_no_value(metric: Metric) -> None:
    """Infinite scores have a place, and NaN where no label is seen does not matter.

    Caught: NaN as the greatest score, by which predictions that are all NaN ranked better than chance.
    """
    truth = torch.tensor([[True, True], [False, False], [False, True]])
    scores = torch.tensor([[math.inf, 0.3], [-math.inf, 0.1], [0.5, math.nan]])
    metric.update(scores, truth, torch.tensor([[True, True], [True, True], [True, False]]))
    assert float(metric.compute()) == 1
    metric.update(torch.tensor([[math.nan, 0.0]]), truth[:1])
    assert math.isnan(metric.compute())


def test_accuracy_of_observed_cells() -> None:
    metric = Accuracy()
    metric.update(torch.tensor([[True, False]]), torch.tensor([[True, False]]))
    assert float(metric.compute()) == 1
