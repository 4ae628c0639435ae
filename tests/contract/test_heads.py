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
from mmseq.heads.certainty import Range
from mmseq.heads.classification import ClassificationHead, ClassSpec
from mmseq.heads.metrics import Average
from mmseq.heads.multilabel import MultilabelConfig, MultilabelHead, MultilabelSpec
from mmseq.heads.regression import RegressionConfig, RegressionHead
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


class DropsHidden(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss(parameters, target) * (1 + 0.1 * torch.rand(()))


class ReturnsDouble(MultilabelHead):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden).double()


class ReducesColumns(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss(parameters, target).sum(1)


class DividesByLabels(MultilabelHead):
    """The mean over the columns that a label has: 0 / 0 where it has none."""

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss(parameters, target) / (target.value.sum(1, keepdim=True))


class CentersOnWhatItEncodes(MultilabelHead):
    """Statistics of whatever split comes by."""

    def encode(self, labels: Any) -> Any:
        encoded = super().encode(labels)
        self.linear.bias.data += float(encoded.value.mean())
        return encoded


class LearnsFromScoring(MultilabelHead):
    def score(self, metrics: Mapping[str, Metric], parameters: Tensor, target: Target) -> None:
        super().score(metrics, parameters, target)
        if len(target):
            self.linear.bias.data += 0.01


class ChangesHidden(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        target.value.clamp_(max=0.5)
        return loss


class KeepsSetInFacts(MultilabelHead):
    class Spec(MultilabelSpec):
        extra: Any = frozenset({1})

    @classmethod
    def fit(cls, config: Any, facts: Any) -> Any:
        return cls.Spec(**super().fit(config, facts).model_dump())


class HasVainParameter(HasIdleParameter):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) + 0 * self.idle.sum()


class SharesLoss(MultilabelHead):
    """The sum stays right, but what a label adds to it depends on the others."""

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        seen = torch.ones_like(loss) if target.observed is None else target.observed
        return loss + 0.1 * (loss - (loss * seen).sum() / seen.sum().clamp(min=1))


class ForgetsOption(MultilabelHead):
    def __init__(self, spec: MultilabelSpec, hidden: int) -> None:
        super().__init__(spec, hidden)


class PutsHalfBack(MultilabelHead):
    def from_log_classes(self, log_p: Tensor) -> Tensor:
        return super().from_log_classes(log_p) / 2


class CountsClassesFromOne(MultilabelHead):
    def true_classes(self, target: Target) -> Tensor:
        return super().true_classes(target) + 1


class TellsLogits(MultilabelHead):
    def log_classes(self, parameters: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(parameters), parameters], 2)


class TurnsRangesAround(RegressionHead):
    def ranges(self, parameters: Tensor, coverage: float) -> Range:
        told = super().ranges(parameters, coverage)
        return Range(told.high, told.low, told.unit)


class ForgetsTheCoverage(RegressionHead):
    def ranges(self, parameters: Tensor, coverage: float) -> Range:
        return super().ranges(parameters, 1 - coverage)


class CancelsDigits(MultilabelHead):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) + 1e7 - 1e7


class ReturnsOneAQuery(MultilabelHead):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden)[:, 0]


class WeighsNegatively(MultilabelHead):
    def weights(self, target: Target) -> Tensor:
        return -super().weights(target)


class SqueezesLoss(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        return super().loss(parameters, target).squeeze(0)


class RootOfZero(MultilabelHead):
    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        return loss + (loss - loss.detach()).sqrt()


class DividesByCount(MultilabelHead):
    """And takes it back: 0 / 0 where there is no label."""

    def loss_sum(self, parameters: Tensor, target: Target) -> Tensor:
        n = torch.tensor(float(len(target)))
        return super().loss_sum(parameters, target) / n * n


class ScoresNothingAsZero(MultilabelHead):
    class Zero(Average):
        def compute(self) -> Tensor:
            return super().compute().nan_to_num()

    def metrics(self) -> dict[str, Metric]:
        return super().metrics() | {"joint_nll": self.Zero()}


class DecodesNothing(MultilabelHead):
    def decode(self, parameters: Tensor) -> dict[str, np.ndarray]:
        return {}


class DecodesLists(MultilabelHead):
    def decode(self, parameters: Tensor) -> dict[str, Any]:
        return {name: x.tolist() for name, x in super().decode(parameters).items()}


class DecodesNan(MultilabelHead):
    def decode(self, parameters: Tensor) -> dict[str, np.ndarray]:
        return {name: np.full_like(x, np.nan) for name, x in super().decode(parameters).items()}


class HidesMetric(MultilabelHead):
    @classmethod
    def metric_names(cls, config: MultilabelConfig) -> tuple[str, ...]:
        return tuple(name for name in super().metric_names(config) if name != "nll")


class ScoresInfinity(MultilabelHead):
    def score(self, metrics: Mapping[str, Metric], parameters: Tensor, target: Target) -> None:
        super().score(metrics, parameters, target)
        metrics["joint_nll"].update(torch.full((len(target), 1), torch.inf))


class StartsFromOneColumn(MultilabelHead):
    def baseline(self, target: Target) -> Tensor:
        return super().baseline(target)[:, :1]


class StartsFromInfinity(MultilabelHead):
    def baseline(self, target: Target) -> Tensor:
        return super().baseline(target) / torch.zeros(())


class NamesTooManyClasses(MultilabelHead):
    def choices(self) -> dict[str, list[str]]:
        return {name: [*own, "other"] for name, own in super().choices().items()}


class IsSure(MultilabelHead):
    def log_classes(self, parameters: Tensor) -> Tensor:
        log_p = super().log_classes(parameters)
        return torch.where(log_p < log_p.amax(2, keepdim=True), -torch.inf, 0.0)


class RangesInSingle(RegressionHead):
    def ranges(self, parameters: Tensor, coverage: float) -> Range:
        told = super().ranges(parameters, coverage)
        return Range(told.low.float(), told.high.float(), told.unit.float())


class TransformsOtherwise(RegressionHead):
    def transform_labels(self, value: Tensor) -> Tensor:
        return super().transform_labels(value) + 1


FAULTS: list[tuple[type[Head], str]] = [
    (CancelsDigits, "precision: the loss in float32 agrees with float64 to 1e-3"),
    (ReturnsOneAQuery, r"parameters: parameters have shape \(query, parameter\)"),
    (WeighsNegatively, "weights: weights are 0 or more, and some are more"),
    (SqueezesLoss, "company: a label's loss depends on no other label; shapes"),
    (RootOfZero, "gradients: gradients are finite"),
    (DividesByCount, "empty: without labels loss, weight and gradients are 0; loss is nan"),
    (ScoresNothingAsZero, "empty: a metric of no labels is NaN; joint_nll is 0"),
    (DecodesNothing, "prediction: a prediction has a column"),
    (DecodesLists, "prediction: a column is an array with a row a query"),
    (DecodesNan, "prediction: predicted numbers are finite"),
    (HidesMetric, "metrics: metrics are among the names that the config tells"),
    (ScoresInfinity, "metrics: metrics of varied labels are finite; .'joint_nll'. are not"),
    (StartsFromOneColumn, "learning: a baseline has the shape of parameters"),
    (StartsFromInfinity, "learning: the baseline's loss is finite"),
    (NamesTooManyClasses, r"certainty: log_classes has shape \(query, column, class\)"),
    (IsSure, "certainty: probabilities of classes add up to 1, and none is 0; a logarithm is not finite"),
    (HasVainParameter, "gradients: every parameter matters for the loss; the gradient of idle is zero"),
    (SharesLoss, "company: a label's loss depends on no other label"),
    (ForgetsOption, "options: every field of its config is read; nothing reads .*focal_negative, margin"),
    (DropsHidden, "repeatable: the same call gives the same numbers"),
    (ReturnsDouble, "precision: float32 hidden and weights give float32 parameters"),
    (ReducesColumns, "weights: loss and weights have one shape"),
    (DividesByLabels, "weights: losses are finite"),
    (CentersOnWhatItEncodes, "training split: labels that are encoded, predicted and scored"),
    (LearnsFromScoring, "training split: labels that are encoded, predicted and scored"),
    (ChangesHidden, "hidden and target are left as they are"),
    (KeepsSetInFacts, "facts: facts survive JSON"),
    (ReturnsMean, "sums to what it is as a whole"),
    (LooksAtOtherRows, "depend on the query's own hidden alone"),
    (WeighsByBatch, "sums to what it is as a whole"),
    (LetsNanThrough, "not observed changes nothing"),
    (TrainsUnobserved, "without an observed cell no gradient flows"),
    (IgnoresLabelWeight, "half the weight counts half"),
    (HasIdleParameter, "gradients: every trainable parameter gets a gradient.*idle has none"),
    (SkipsEmptyBatches, "empty: every trainable parameter gets a gradient"),
    (LearnsNothing, "a head learns its own labels"),
    (ScoresBatchByBatch, "metrics over batches are those over all labels"),
    (DecodesTogether, "decoded alone as among others"),
    (PutsHalfBack, "from_log_classes undoes log_classes"),
    (CountsClassesFromOne, "true_classes are places in `choices`"),
    (TellsLogits, "probabilities of classes add up to 1"),
]


@pytest.mark.parametrize(("head_class", "rule"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_planted_fault_is_caught(head_class: type[Head], rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    heads.component_class("multilabel")
    monkeypatch.setitem(heads._classes, "multilabel", (MultilabelConfig, head_class))
    with pytest.raises(AssertionError, match=rule) as caught:
        check_head(example_config("multilabel"))
    assert str(caught.value).startswith(f"{head_class.__name__}: ")


class FitsWholeVocabulary(ClassificationHead):
    """Classes that only the test split has, with a count of none."""

    @classmethod
    def fit(cls, config: Any, facts: Any) -> ClassSpec:
        found = np.bincount(facts.code[facts.code >= 0], minlength=len(facts.vocabulary))
        return ClassSpec(classes=list(facts.vocabulary), counts=found.tolist())


def test_classes_of_other_splits_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config_class = heads.config_class("classification")
    monkeypatch.setitem(heads._classes, "classification", (config_class, FitsWholeVocabulary))
    with pytest.raises(AssertionError, match="training split: fitting does not see words that the training"):
        check_head(example_config("classification"))


@pytest.mark.parametrize(
    ("head_class", "rule"),
    [
        (TurnsRangesAround, "low ≤ high"),
        (ForgetsTheCoverage, "of a greater coverage is not narrower"),
        (RangesInSingle, "`low` of a range is float64 of"),
        (TransformsOtherwise, "untransform undoes transform_labels"),
    ],
)
def test_wrong_range_is_caught(
    head_class: type[Head], rule: str, monkeypatch: pytest.MonkeyPatch, unchecked: None
) -> None:
    heads.component_class("regression")
    monkeypatch.setitem(heads._classes, "regression", (RegressionConfig, head_class))
    with pytest.raises(AssertionError, match=rule):
        check_head(example_config("regression", loss="gaussian"))
