from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from mmseq.batch import Target
from mmseq.errors import DataError
from mmseq.heads import Labels
from mmseq.heads.multilabel import MultilabelConfig, MultilabelHead, MultilabelSpec

CONFIG = MultilabelConfig(kind="multilabel", table="labels", columns=["a", "b"])
SPEC = MultilabelSpec(columns=["a", "b"], rates=[0.25, 0.0])


def _labels(*rows: list[float]) -> Labels:
    return Labels(("a", "b"), np.array(rows), np.zeros(0), task="late")


def test_rates_leave_missing_cells_out() -> None:
    spec = MultilabelHead.fit(CONFIG, _labels([1, 0], [0, math.nan], [1, math.nan]))
    assert spec.columns == ["a", "b"] and spec.rates == pytest.approx([3 / 5, 1 / 3])


def test_labels_that_are_neither_0_nor_1() -> None:
    with pytest.raises(DataError, match="task 'late', column b: labels must be 0 or 1, or missing; got 2"):
        MultilabelHead(SPEC, 4).encode(_labels([1, 0], [math.nan, 2]))


def test_column_without_labels() -> None:
    with pytest.raises(DataError, match="'late', column b: has no label in the training split"):
        MultilabelHead.fit(CONFIG, _labels([1, math.nan]))


def test_loss_of_each_cell() -> None:
    target = Target(torch.arange(1), torch.tensor([[1.0, 0.0]]))
    loss = MultilabelHead(SPEC, 4).loss(torch.tensor([[0.5, 2.0]]), target)
    expected = [[math.log1p(math.exp(-0.5)), math.log1p(math.exp(2))]]
    torch.testing.assert_close(loss, torch.tensor(expected))


def test_decode_and_baseline() -> None:
    head = MultilabelHead(SPEC, 4)
    target = Target(torch.arange(2), torch.zeros(2, 2), previous=torch.tensor([[1.0, math.nan], [0, 1]]))
    probability = head.decode(head.baseline(target))
    assert probability["a"] == pytest.approx([0.625, 0.125])
    assert probability["b"] == pytest.approx([1e-5, 0.500005], rel=1e-3)
    assert head.decode(head(torch.zeros(1, 4)).detach())["a"] == pytest.approx([0.25])


def test_metrics_of_observed_cells() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (80, 3))
    truth[:, 2] = 1  # one answer only: no ranking
    observed = rng.random(truth.shape) < 0.7
    logits = rng.normal(truth, 1)
    head = MultilabelHead(MultilabelSpec(columns=["a", "b", "c"], rates=[0.5] * 3), 4)
    value = torch.from_numpy(np.where(observed, truth, np.nan).astype(np.float32))
    metrics = head.metrics()
    head.score(metrics, torch.from_numpy(logits), Target(torch.arange(80), value, torch.from_numpy(observed)))
    cell_nll = np.log1p(np.exp(np.where(truth, -logits, logits)))
    cells = [(truth[observed[:, c], c], logits[observed[:, c], c]) for c in range(3)]
    expected = {
        "f1_macro": np.mean([f1_score(y, x >= 0) for y, x in cells]),
        "accuracy": ((logits >= 0) == truth)[observed].mean(),
        "auroc": np.mean([roc_auc_score(y, x) for y, x in cells[:2]]),
        "auprc": np.mean([average_precision_score(y, x) for y, x in cells[:2]]),
        "nll": np.mean([cell_nll[observed[:, c], c].mean() for c in range(3)]),
        "joint_nll": np.where(observed, cell_nll, 0).sum(1).mean(),
    }
    assert {name: float(metric.compute()) for name, metric in metrics.items()} == pytest.approx(expected)


def test_probabilities_that_round_to_1_are_ranked() -> None:
    """Caught: told alike, an AUROC of 0.5."""
    head = MultilabelHead(MultilabelSpec(columns=["a"], rates=[0.5]), 4)
    metrics, logit = head.metrics(), torch.tensor([[18.0], [19], [20], [31]])
    head.score(metrics, logit, Target(torch.arange(4), torch.tensor([[0.0], [0], [1], [1]])))
    assert (float(metrics["auroc"].compute()), float(metrics["auprc"].compute())) == (1, 1)


def test_many_labels_are_not_ranked() -> None:
    names = [str(i) for i in range(65)]
    head = MultilabelHead(MultilabelSpec(columns=names, rates=[0.5] * 65), 4)
    assert head.metrics().keys() == {"f1_macro", "accuracy", "nll", "joint_nll"}
