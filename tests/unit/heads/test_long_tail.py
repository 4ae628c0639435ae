"""Losses and weights for rare classes, against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target
from mmseq.heads import Labels
from mmseq.heads.classification import ClassificationConfig, ClassificationHead, ClassSpec
from mmseq.heads.long_tail import asymmetric, class_weights, focal, groups_of
from mmseq.heads.multilabel import MultilabelConfig, MultilabelHead, MultilabelSpec

SPEC = ClassSpec(classes=["a", "b", "c"], counts=[90, 9, 1])
TWO = ClassSpec(classes=["no", "yes"], counts=[90, 10])
MANY = MultilabelSpec(columns=["x", "y"], rates=[0.5, 0.1], counts=[(5, 5), (90, 10)])


def target(values: list[int]) -> Target:
    return Target(torch.arange(len(values)), torch.tensor(values))


def log_softmax(logits: list[float], i: int) -> float:
    return logits[i] - math.log(sum(map(math.exp, logits)))


def test_class_weights() -> None:
    """Cui et al. 2019, equation 2; scaled so that their mean over the labels is 1."""
    counts = np.array([90.0, 9.0, 1.0])
    np.testing.assert_allclose(class_weights(counts, "balanced", 0.9), 100 / 3 / counts)
    raw = np.array([(1 - 0.9) / (1 - 0.9**n) for n in (90, 9, 1)])
    found = class_weights(counts, "effective", 0.9)
    np.testing.assert_allclose(found / found[0], raw / raw[0])
    assert (found * counts).sum() == pytest.approx(100)
    np.testing.assert_allclose(class_weights(counts, "effective", 0.0), 1)
    np.testing.assert_allclose(class_weights(counts, "none", 0.9), 1)
    assert np.isfinite(class_weights(np.array([0.0, 3.0]), "balanced", 0.9)).all()


def test_focal() -> None:
    """Lin et al. 2017, equation 4: of p = 0.9 and γ = 2, (0.1)² · 0.10536."""
    loss = -torch.tensor([0.9, 0.5], dtype=torch.float64).log()
    expected = [0.01 * -math.log(0.9), 0.25 * math.log(2)]
    torch.testing.assert_close(focal(loss, 2.0), torch.tensor(expected, dtype=torch.float64))
    assert focal(loss, 0.0) is loss


def test_asymmetric() -> None:
    """Ridnik et al. 2021, equation 7, at p = 0.3; below the margin a false label costs nothing."""
    logit = torch.tensor([math.log(0.3 / 0.7)] * 2, dtype=torch.float64)
    truth = torch.tensor([1.0, 0.0], dtype=torch.float64)
    expected = [0.7 * -math.log(0.3), 0.25**4 * -math.log(0.75)]
    loss = asymmetric(logit, truth, positive=1.0, negative=4.0, margin=0.05)
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))
    assert asymmetric(logit, truth, positive=0.0, negative=4.0, margin=0.31)[1] == 0
    plain = asymmetric(logit, truth, positive=0.0, negative=0.0, margin=0.0)
    torch.testing.assert_close(plain, -torch.tensor([0.3, 0.7], dtype=torch.float64).log())


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [0.0, 0.05])
def test_gradients_are_right_and_finite(gamma: float, margin: float) -> None:
    logits = torch.linspace(-60, 60, 41, dtype=torch.float64, requires_grad=True)
    truth = (torch.arange(41) % 2).double()
    loss = asymmetric(logits, truth, positive=gamma, negative=gamma, margin=margin)
    (grad,) = torch.autograd.grad(loss.sum(), logits)
    assert loss.isfinite().all() and grad.isfinite().all()
    some = torch.tensor([-3.0, -0.7, 0.2, 2.5], dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)

    def function(z: torch.Tensor) -> torch.Tensor:
        return asymmetric(z, truth, positive=gamma, negative=gamma, margin=margin)

    assert torch.autograd.gradcheck(function, some)


def test_logit_adjustment() -> None:
    """Menon et al. 2021, equation 10: softmax of z + τ·log π, π with one label more a class."""
    prior, z = [91 / 103, 10 / 103, 2 / 103], [0.3, -0.2, 1.1]
    head = ClassificationHead(SPEC, 4, adjust=0.5).double()
    adjusted = [a + 0.5 * math.log(p) for a, p in zip(z, prior, strict=True)]
    loss = head.loss(torch.tensor([z], dtype=torch.float64), target([1]))
    assert float(loss) == pytest.approx(-log_softmax(adjusted, 1), rel=1e-6)
    told = head.decode(torch.tensor([z], dtype=torch.float64))
    assert float(told["p_c"][0]) == pytest.approx(math.exp(log_softmax(z, 2)))
    # At first, adjusted logits are the classes' shares.
    start = head.loss(head(torch.zeros(1, 4).double()), target([2]))
    assert float(start.detach()) == pytest.approx(-math.log(prior[2]), rel=1e-5)


def test_logit_adjustment_of_two_classes() -> None:
    head = ClassificationHead(TWO, 4, adjust=1.0).double()
    z = 0.4 + math.log(11 / 91)
    loss = head.loss(torch.tensor([[0.4]], dtype=torch.float64), target([1]))
    assert float(loss) == pytest.approx(math.log1p(math.exp(-z)), rel=1e-6)


def test_focal_classification_with_smoothing() -> None:
    z = [0.3, -0.2, 1.1]
    plain = -log_softmax(z, 1)
    smooth = 0.9 * plain + 0.1 * sum(-log_softmax(z, c) for c in range(3)) / 3
    head = ClassificationHead(SPEC, 4, focal=2.0, label_smoothing=0.1).double()
    loss = float(head.loss(torch.tensor([z], dtype=torch.float64), target([1])))
    assert loss == pytest.approx((1 - math.exp(-plain)) ** 2 * smooth, rel=1e-9)


def test_weights_of_classes_count_in_the_mean() -> None:
    """A loss is a weighted mean: a rare class counts for more, in the sum and in what divides it."""
    head = ClassificationHead(SPEC, 4, weights="balanced").double()
    weights = head.weights(target([0, 1, 2]))
    torch.testing.assert_close(weights.double(), torch.tensor([100 / 270, 100 / 27, 100 / 3]).double())
    many = MultilabelHead(MANY, 4, weights="balanced").double()
    labels = Target(
        torch.arange(2), torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[1, 1], [0, 1]]) > 0
    )
    expected = torch.tensor([[1, 5.0], [0, 100 / 180]]).double()
    torch.testing.assert_close(many.weights(labels).double(), expected)


def test_groups() -> None:
    assert groups_of([5, 100, 1, 20]) == {"head": [1], "middle": [3, 0], "tail": [2]}
    assert groups_of([5, 1]) == {}
    assert ClassificationHead(ClassSpec(classes=["a", "b", "c"], counts=[9, 8, 1]), 2).groups == {}


def test_metrics_by_group() -> None:
    """Recall of each group's classes: "a" is right in one of two, "b" in all, "c" never."""
    head = ClassificationHead(SPEC, 3)
    metrics = head.metrics()
    logits = torch.eye(3)[[0, 1, 1, 0]] * 5
    head.score(metrics, logits, target([0, 0, 1, 2]))
    found = {name: float(metrics[f"recall_{name}"].compute()) for name in ("head", "middle", "tail")}
    assert found == {"head": 0.5, "middle": 1.0, "tail": 0.0}
    assert set(metrics) <= set(ClassificationHead.metric_names(CONFIG))


def test_f1_by_group() -> None:
    spec = MultilabelSpec(columns=["x", "y", "z"], rates=[0.5] * 3, counts=[(0, 90), (80, 10), (85, 5)])
    head = MultilabelHead(spec, 3)
    metrics = head.metrics()
    labels = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    head.score(metrics, torch.tensor([[5.0, -5, -5], [5, 5, 5]]), Target(torch.arange(2), labels))
    found = {name: float(metrics[f"f1_{name}"].compute()) for name in ("head", "middle", "tail")}
    assert found == {"head": 1.0, "middle": 1.0, "tail": 0.0}


CONFIG = ClassificationConfig(kind="classification", table="t", column="c")


@pytest.mark.parametrize("options", [{"beta": 0.9}, {"beta": 0.9, "weights": "balanced"}])
def test_a_beta_that_does_nothing_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="beta: does nothing where weights is"):
        MultilabelConfig(kind="multilabel", table="t", column="c", **options)
    again = CONFIG.model_validate(CONFIG.model_dump())  # written down with its default
    assert again == CONFIG


def test_counts_are_fitted() -> None:
    labels = Labels(("x",), np.array([[1.0], [0.0], [0.0], [np.nan]]), np.zeros(0, np.int32), (), "t")
    config = MultilabelConfig(kind="multilabel", table="t", column="x")
    assert MultilabelHead.fit(config, labels).counts == [(2, 1)]


@pytest.mark.parametrize(
    "options",
    [{"weights": "effective"}, {"focal": 2.0}, {"adjust": 1.0}, {"focal": 0.5, "weights": "balanced"}],
)
def test_it_can_learn_by_heart(options: dict[str, Any]) -> None:
    """Each loss, minimised, gives every sample its class."""
    torch.manual_seed(0)
    hidden, labels = torch.randn(12, 16), target([0] * 8 + [1] * 3 + [2])
    head = ClassificationHead(ClassSpec(classes=["a", "b", "c"], counts=[8, 3, 1]), 16, **options)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        head.loss_sum(head(hidden), labels).backward()
        optimizer.step()
    assert head(hidden).argmax(1).tolist() == labels.value.tolist()
