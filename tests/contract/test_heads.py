"""Every head keeps the contract, and the contract catches one that does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import Head, heads
from mmseq.heads.multilabel import MultilabelConfig, MultilabelHead
from mmseq.testing import check_kind
from mmseq.testing.head_examples import example_config
from mmseq.testing.heads import check_head

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("classification", {"label_smoothing": 0.1}),
    *(("regression", {"loss": loss}) for loss in ("absolute", "huber", "gaussian")),
    ("regression", {"transform": "log1p"}),
    ("regression", {"transform": "log1p", "loss": "gaussian"}),
    ("quantile", {"quantiles": [0.5]}),
    ("quantile", {"quantiles": [0.7, 0.9], "transform": "log1p"}),
    ("mixture", {"components": 1, "transform": "log1p"}),
    ("ordinal", {"order": ["mid", "low", "none", "high"]}),
    ("count", {"distribution": "negative_binomial"}),
    ("survival", {"bins": [1.5, 4, 20]}),
    ("survival", {"bins": 1}),
    *(("imputation", {"loss": loss}) for loss in ("absolute", "huber", "gaussian")),
    ("next_step", {"time": True}),
    ("next_step", {"time": True, "wait_components": 3}),
    ("next_step", {"negatives": 5}),
    ("next_step", {"negatives": 1, "temperature": 0.5, "time": True}),
]


@pytest.mark.parametrize("kind", heads.kinds())
def test_contract(kind: str) -> None:
    check_kind("heads", kind)


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
def test_contract_with_options(kind: str, options: dict[str, Any]) -> None:
    check_head(example_config(kind, **options))


class ReturnsMean(MultilabelHead):
    def loss_sum(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss_sum(parameters, target) / max(len(target), 1)


class LooksAtOtherRows(MultilabelHead):
    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(hidden - hidden.mean(0) if len(hidden) else hidden)


class WeighsByBatch(MultilabelHead):
    """Loss of a label against the batch's mean loss."""

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        return loss + 0.1 * loss.sum() / max(len(loss), 1)


class LetsNanThrough(MultilabelHead):
    def loss_sum(self, parameters: Tensor, target: Target) -> Tensor:
        return (self.loss(parameters, target).nan_to_num() * self.weights(target)).sum()


class TrainsUnobserved(MultilabelHead):
    def weights(self, target: Target) -> Tensor:
        return super().weights(dataclasses.replace(target, observed=None))


class IgnoresLabelWeight(MultilabelHead):
    def weights(self, target: Target) -> Tensor:
        return super().weights(dataclasses.replace(target, weight=None))


class HasIdleParameter(MultilabelHead):
    def __init__(self, spec: Any, hidden: int, **options: Any) -> None:
        super().__init__(spec, hidden, **options)
        self.idle = nn.Parameter(torch.ones(3))


class SkipsEmptyBatches(MultilabelHead):
    def loss_sum(self, parameters: Tensor, target: Target) -> Tensor:
        if not len(target):
            return torch.zeros((), requires_grad=True)
        return super().loss_sum(parameters, target)


class LearnsNothing(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss(-parameters.abs(), target)


class ScoresBatchByBatch(MultilabelHead):
    def score(self, metrics: Mapping[str, Metric], parameters: Tensor, target: Target) -> None:
        for metric in metrics.values():
            metric.reset()
        super().score(metrics, parameters, target)


class DecodesTogether(MultilabelHead):
    def decode(self, parameters: Tensor) -> dict[str, np.ndarray]:
        return {name: x / max(len(x), 1) for name, x in super().decode(parameters).items()}


FAULTS: list[tuple[type[Head], str]] = [
    (ReturnsMean, "sums to what it is as a whole"),
    (LooksAtOtherRows, "depend on the query's own hidden alone"),
    (WeighsByBatch, "sums to what it is as a whole"),
    (LetsNanThrough, "not observed changes nothing"),
    (TrainsUnobserved, "without an observed cell no gradient flows"),
    (IgnoresLabelWeight, "half the weight counts half"),
    (HasIdleParameter, "idle has none"),
    (SkipsEmptyBatches, "every trainable parameter gets a gradient"),
    (LearnsNothing, "a head learns its own labels"),
    (ScoresBatchByBatch, "metrics over batches are those over all labels"),
    (DecodesTogether, "decoded alone as among others"),
]


@pytest.mark.parametrize(("head_class", "rule"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_planted_fault_is_caught(head_class: type[Head], rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heads.component_class("multilabel")
    monkeypatch.setitem(heads._classes, "multilabel", (MultilabelConfig, head_class))
    with pytest.raises(AssertionError, match=rule) as caught:
        check_head(example_config("multilabel"))
    assert str(caught.value).startswith(f"{head_class.__name__}: ")
