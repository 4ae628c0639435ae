from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from mmseq.batch import Target
from mmseq.errors import DataError
from mmseq.heads import Labels
from mmseq.heads.classification import ClassificationConfig, ClassificationHead, ClassSpec

CONFIG = ClassificationConfig(kind="classification", table="labels", column="level")
TWO = ClassSpec(classes=["no", "yes"], counts=[7, 1])
THREE = ClassSpec(classes=["low", "mid", "high"], counts=[5, 3, 0])


def _labels(codes: list[int], *vocabulary: str) -> Labels:
    return Labels(("level",), np.zeros((len(codes), 0)), np.array(codes, np.int32), vocabulary, "level")


def _target(values: list[int], previous: list[float] | None = None) -> Target:
    last = None if previous is None else torch.tensor(previous)[:, None]
    return Target(torch.arange(len(values)), torch.tensor(values), previous=last)


def _scores(head: ClassificationHead, parameters: torch.Tensor, values: list[int]) -> dict[str, float]:
    metrics = head.metrics()
    head.score(metrics, parameters, _target(values))
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def test_classes_are_those_of_the_training_split_in_natural_order() -> None:
    spec = ClassificationHead.fit(CONFIG, _labels([0, 1, 1, -1, 3], "10", "9", "unused", "2"))
    assert spec == ClassSpec(classes=["2", "9", "10"], counts=[1, 2, 1])


@pytest.mark.parametrize(("codes", "seen"), [([0, 0, -1], "only 'a'"), ([-1], "no label")])
def test_one_class_is_nothing_to_learn(codes: list[int], seen: str) -> None:
    with pytest.raises(DataError, match=f"'level', column level: needs at least two classes.*it has {seen}"):
        ClassificationHead.fit(CONFIG, _labels(codes, "a", "b"))


def test_codes_become_indices_and_missing_ones_are_left_out() -> None:
    encoded = ClassificationHead(THREE, 4).encode(_labels([0, -1, 2, 1], "high", "low", "mid"))
    assert encoded.row.tolist() == [0, 2, 3] and encoded.value.tolist() == [2, 1, 0]


def test_words_decide_whatever_the_stores_codes_were_before() -> None:
    head = ClassificationHead(THREE, 4)
    for vocabulary in (("high", "low"), ("low", "high"), ("high", "low")):
        encoded = head.encode(_labels([0, 1], *vocabulary))
        assert [THREE.classes[i] for i in encoded.value] == [*vocabulary]


def test_classes_are_looked_up_once_for_all_batches() -> None:
    head, words = ClassificationHead(THREE, 4), ["high", "low"]
    assert head._classes(tuple(words)) is head._classes(tuple(words))


def test_class_that_training_never_had() -> None:
    head = ClassificationHead(TWO, 4)
    assert head.encode(_labels([0], "yes", "maybe")).value.tolist() == [1]  # only in the vocabulary
    with pytest.raises(DataError, match="'level', column level: 'maybe' has a label here but none in the"):
        head.encode(_labels([0, 1], "yes", "maybe"))


def test_two_classes_are_one_logit_of_the_last() -> None:
    head = ClassificationHead(TWO, 4)
    logit = torch.tensor([[0.3], [-2.0]])
    loss = head.loss(logit, _target([1, 0]))
    torch.testing.assert_close(loss, torch.tensor([math.log1p(math.exp(-0.3)), math.log1p(math.exp(-2))]))
    columns = head.decode(logit)
    assert columns[""].tolist() == ["yes", "no"]
    assert columns["p_yes"] == pytest.approx([1 / (1 + math.exp(-0.3)), 1 / (1 + math.exp(2))])
    assert columns["p_no"] + columns["p_yes"] == pytest.approx([1, 1])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_cross_entropy_with_a_smoothed_target(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, values = torch.randn(4, 3), [0, 2, 1, 1]
    smooth = torch.eye(3)[values] * (1 - smoothing) + smoothing / 3
    loss = ClassificationHead(THREE, 4, label_smoothing=smoothing).loss(logits, _target(values))
    torch.testing.assert_close(loss, -(smooth * logits.log_softmax(1)).sum(1))
    binary = ClassificationHead(TWO, 4, label_smoothing=smoothing)
    smooth = torch.eye(2)[[0, 1, 1, 1]] * (1 - smoothing) + smoothing / 2
    log_p = binary.log_probability(logits[:, :1])
    torch.testing.assert_close(binary.loss(logits[:, :1], _target([0, 1, 1, 1])), -(smooth * log_p).sum(1))


def test_starts_from_how_often_each_class_is() -> None:
    for spec, expected in ((TWO, [8 / 10, 2 / 10]), (THREE, [6 / 11, 4 / 11, 1 / 11])):
        head = ClassificationHead(spec, 4)
        columns = head.decode(head(torch.zeros(1, 4)).detach())
        assert [columns[f"p_{name}"][0] for name in spec.classes] == pytest.approx(expected)


def test_baseline_is_the_majority_or_the_last_value() -> None:
    for spec, most in ((TWO, "no"), (THREE, "low")):
        head = ClassificationHead(spec, 4)
        assert head.decode(head.baseline(_target([0, 1])))[""].tolist() == [most, most]
        last = head.decode(head.baseline(_target([0, 1], [1.0, math.nan])))
        assert last[""].tolist() == [spec.classes[1], most]


def test_metrics_of_several_classes() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 3, 60)
    logits = torch.from_numpy(rng.normal(0, 1, (60, 3)) + np.eye(3)[values])
    probability = logits.softmax(1).numpy()
    scores = _scores(ClassificationHead(THREE, 4), logits, values.tolist())
    assert scores["accuracy"] == pytest.approx((probability.argmax(1) == values).mean())
    assert scores["f1_macro"] == pytest.approx(f1_score(values, probability.argmax(1), average="macro"))
    assert scores["auroc"] == pytest.approx(roc_auc_score(values, probability, multi_class="ovr"), abs=1e-6)
    assert scores["auprc"] == pytest.approx(
        average_precision_score(np.eye(3)[values], probability, average="macro"), abs=1e-6
    )
    assert scores["nll"] == pytest.approx(-np.log(probability[np.arange(60), values]).mean())


def test_metrics_of_two_classes_rank_the_positive_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2, 50)
    logit = torch.from_numpy(rng.normal(values[:, None], 1))
    scores = _scores(ClassificationHead(TWO, 4), logit, values.tolist())
    assert scores["auroc"] == pytest.approx(roc_auc_score(values, logit[:, 0]), abs=1e-6)
    assert scores["auprc"] == pytest.approx(average_precision_score(values, logit[:, 0]), abs=1e-6)
    assert scores["f1_macro"] == pytest.approx(f1_score(values, logit[:, 0] >= 0, average="macro"))


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("least", [18, 38])
def test_probabilities_that_round_to_1_are_ranked(side: int, least: int) -> None:
    """Logits from 18 on, in float32, and where they do in float64, too.

    Caught: all told alike, an AUROC of 0.5, on one side; of three classes from 38 on.
    """
    logit, values = side * (least + torch.tensor([[0.0], [1], [2], [13]])), [0, 0, 1, 1][::side]
    two = _scores(ClassificationHead(TWO, 4), logit, values)
    three = _scores(ClassificationHead(THREE, 4), torch.cat([0 * logit, logit, 0 * logit - 80], 1), values)
    assert (two["auroc"], two["auprc"], three["auroc"], three["auprc"]) == (1, 1, 1, 1)


def test_metrics_where_some_classes_have_no_label() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 2, 1], [2, 1, 0]])
    scores = _scores(ClassificationHead(THREE, 4), logits, [0, 1, 1])
    assert scores["auroc"] == 0.75  # of the first two, each with one tie
    one = _scores(ClassificationHead(THREE, 4), logits, [0, 0, 0])
    assert math.isnan(one["auroc"]) and math.isnan(one["auprc"])
    assert one["accuracy"] == pytest.approx(2 / 3)


def test_many_classes_are_not_ranked() -> None:
    names = [str(i) for i in range(65)]
    assert "auroc" not in ClassificationHead(ClassSpec(classes=names, counts=[1] * 65), 4).metrics()
