from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from mmseq.batch import Target
from mmseq.errors import DataError
from mmseq.heads import Labels
from mmseq.heads.ordinal import OrdinalConfig, OrdinalHead, OrdinalSpec
from mmseq.random import Draws

SPEC = OrdinalSpec(classes=["low", "mid", "high", "top"], counts=[4, 9, 0, 2])


def _labels(code: list[int], vocabulary: tuple[str, ...]) -> Labels:
    return Labels(("grade",), np.zeros((len(code), 0)), np.array(code, np.int32), vocabulary, "task")


def _fit(labels: Labels, **options: Any) -> OrdinalSpec:
    return OrdinalHead.fit(OrdinalConfig(kind="ordinal", table="t", column="grade", **options), labels)


def _target(ranks: list[int]) -> Target:
    return Target(torch.arange(len(ranks)), torch.tensor(ranks))


def _raw_of(gap: float) -> float:
    return math.log(math.expm1(gap))


def test_probabilities_are_differences_of_the_logistic_function() -> None:
    parameters = torch.tensor([[-1.0, _raw_of(0.5), _raw_of(2.0)]], dtype=torch.float64)
    cut = 1 / (1 + np.exp(-np.array([-1.0, -0.5, 1.5])))
    expected = np.diff([0, *cut, 1])
    head = OrdinalHead(SPEC, 3)
    assert head.log_probability(parameters).exp()[0].tolist() == pytest.approx(expected.tolist())
    losses = head.loss(parameters.expand(4, -1), _target([0, 1, 2, 3]))
    assert losses.tolist() == pytest.approx((-np.log(expected)).tolist())
    told = head.decode(parameters)
    assert told[""].tolist() == ["high"]  # P(y ≤ mid) = 0.378, P(y ≤ high) = 0.818
    assert told["p_mid"].tolist() == pytest.approx([expected[1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("first", [-1e4, -60.0, 60.0, 1e4])
@pytest.mark.parametrize("raw", [-80.0, 0.0, 1e4])
def test_loss_and_gradient_stay_finite_far_out(dtype: torch.dtype, first: float, raw: float) -> None:
    parameters = torch.tensor([[first, raw, raw]] * 4, dtype=dtype, requires_grad=True)
    loss = OrdinalHead(SPEC, 3).loss_sum(parameters, _target([0, 1, 2, 3]))
    loss.backward()
    assert loss.isfinite() and parameters.grad is not None and parameters.grad.isfinite().all()


def test_gradient() -> None:
    head = OrdinalHead(SPEC, 3).double()
    parameters = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: head.loss_sum(p, _target([3, 0, 2, 1])), (parameters,))


def test_odds_are_proportional() -> None:
    """An input moves all cuts alike, whatever it is; and they are in order."""
    head = OrdinalHead(SPEC, 3)
    with torch.no_grad():
        cuts = head.cumulative(head(10 * torch.randn(50, 3)))
    gaps = cuts.diff(dim=1)
    torch.testing.assert_close(gaps, gaps[:1].expand_as(gaps), atol=1e-4, rtol=0)
    assert (gaps > 0).all()


def test_the_baseline_is_the_shares_of_the_training_split() -> None:
    head = OrdinalHead(SPEC, 3)
    told = head.decode(head.baseline(_target([0])))
    share = [float(told[f"p_{name}"][0]) for name in SPEC.classes]
    assert share == pytest.approx([5 / 19, 10 / 19, 1 / 19, 3 / 19], rel=1e-5)
    with torch.no_grad():
        head.linear.weight.zero_()
        torch.testing.assert_close(head(torch.randn(1, 3)), head.baseline(_target([0])))


def test_the_order_is_natural_or_given() -> None:
    numbers = _labels([0, 1, 2, -1, 2], ("10", "9", "-1"))
    assert _fit(numbers) == OrdinalSpec(classes=["-1", "9", "10"], counts=[2, 1, 1])
    assert _fit(numbers, order=[10, 9, -1]).classes == ["10", "9", "-1"]
    words = _labels([0, 1, 0], ("low", "high"))
    spec = _fit(words, order=["low", "mid", "high"])
    assert spec == OrdinalSpec(classes=["low", "mid", "high"], counts=[2, 0, 1])
    encoded = OrdinalHead(spec, 3).encode(_labels([1, -1, 0], ("low", "high")))
    assert encoded.value.tolist() == [2, 0] and encoded.row.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("code", "options", "message"),
    [
        ([0, 1], {}, "an order needs at least three classes; the training split has 'high', 'low'; name all"),
        ([-1], {}, "has no label in the training split"),
        ([0, 1], {"order": ["a", "b", "low"]}, "'high' is none of the classes in order, which are 'a', 'b'"),
        ([0, 1], {"order": ["high", "low", "low"]}, "order: each class may be named once; got 'high', 'low'"),
    ],
)
def test_labels_that_have_no_order(code: list[int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"task 'task', column grade: {message}"):
        _fit(_labels(code, ("low", "high")), **options)


def test_a_label_of_another_split_must_be_in_the_order() -> None:
    with pytest.raises(DataError, match="'huge' is none of the classes in order"):
        OrdinalHead(SPEC, 3).encode(_labels([0, 1], ("low", "huge")))


def test_metrics() -> None:
    torch.manual_seed(0)
    head, parameters = OrdinalHead(SPEC, 3).double(), 2 * torch.randn(60, 3, dtype=torch.float64)
    truth = torch.randint(0, 4, (60,))
    metrics = head.metrics()
    head.score(metrics, parameters, _target(truth.tolist()))
    found = {name: float(metric.compute()) for name, metric in metrics.items()}
    probability = head.log_probability(parameters).exp().numpy()
    up_to = probability.cumsum(1)
    rank = (up_to < 0.5).sum(1)
    y = truth.numpy()
    assert found == pytest.approx(
        {
            "accuracy": (rank == y).mean(),
            "mae": np.abs(rank - y).mean(),
            "kappa": cohen_kappa_score(y, rank, weights="quadratic"),
            "nll": -np.log(probability[np.arange(60), y]).mean(),
            "crps": ((up_to - (y[:, None] <= np.arange(4))) ** 2).sum(1).mean(),
        }
    )


def test_kappa_of_one_class_alone_is_none() -> None:
    metrics = OrdinalHead(SPEC, 3).metrics()
    metrics["kappa"].update(torch.tensor([1, 1]), torch.tensor([1, 1]))
    assert math.isnan(float(metrics["kappa"].compute()))


def test_draws_have_the_shares_that_are_told() -> None:
    head, n = OrdinalHead(SPEC, 3), 20_000
    parameters = head.baseline(_target([0])).expand(n, -1)
    drawn = np.array(head.sample(parameters, Draws(torch.arange(n)))[""])
    shares = [(drawn == name).mean() for name in SPEC.classes]
    assert shares == pytest.approx([5 / 19, 10 / 19, 1 / 19, 3 / 19], abs=0.012)


def test_it_learns_an_order() -> None:
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    y = torch.bucketize(x[:, 0] - x[:, 1], torch.tensor([-1.0, 0.2, 2.0]))
    head, target = OrdinalHead(SPEC, 2), _target(y.tolist())
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss_sum(head(x), target).backward()
        optimizer.step()
    assert float((head.rank(head(x)) == y).double().mean()) > 0.97
