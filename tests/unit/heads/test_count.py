from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_poisson_deviance

from mmseq.batch import Target
from mmseq.errors import DataError
from mmseq.heads import Labels
from mmseq.heads.count import CountConfig, CountHead, CountSpec
from mmseq.random import Draws

SPEC = CountSpec(columns=["y"], rate=[4.0], dispersion=[0.5])
WIDE = "negative_binomial"


def _fit(values: np.ndarray) -> CountSpec:
    columns = tuple(f"y{c}" for c in range(values.shape[1]))
    config = CountConfig(kind="count", table="t", columns=list(columns))
    return CountHead.fit(config, Labels(columns, values, np.zeros(0), task="visits"))


def _target(*values: float) -> Target:
    return Target(torch.arange(len(values)), torch.tensor(values, dtype=torch.float64)[:, None])


def _mean(parameters: torch.Tensor) -> np.ndarray:
    return np.asarray(4 * (16 * (parameters[:, 0] / 16).tanh()).exp())


def _nb2(mean: np.ndarray, alpha: np.ndarray) -> Any:
    return stats.nbinom(1 / alpha, 1 / (1 + alpha * mean))


def test_facts_are_mean_and_dispersion_of_the_observed_counts() -> None:
    spec = _fit(np.array([[0, 3.0, 0], [6, 3, 0], [math.nan, 3, 0]]))
    assert spec.rate == pytest.approx([3, 3, 0.5 / 3])
    assert spec.dispersion == pytest.approx([(9 - 3) / 9, 0.01, 0.01])


@pytest.mark.parametrize("value", [-1.0, 0.5, math.inf])
def test_labels_that_are_no_counts(value: float) -> None:
    message = f"task 'visits', column y0: counts must be whole numbers from 0 on, or missing; got {value:g}"
    with pytest.raises(DataError, match=message):
        _fit(np.array([[1.0], [value]]))
    with pytest.raises(DataError, match="counts must be whole numbers"):
        CountHead(SPEC, 3).encode(Labels(("y",), np.array([[value]]), np.zeros(0)))


def test_poisson_loss_is_the_negative_log_probability() -> None:
    parameters = torch.tensor([[0.0], [2.0], [-3.0], [0.5]], dtype=torch.float64)
    counts = [3.0, 200.0, 0.0, 7.0]
    expected = -stats.poisson(_mean(parameters)).logpmf(counts)
    found = CountHead(SPEC, 3).loss(parameters, _target(*counts))[:, 0]
    assert found.tolist() == pytest.approx(expected.tolist())


def test_negative_binomial_loss_is_the_negative_log_probability() -> None:
    parameters = torch.tensor([[0.0, 0.0], [2.0, -1.5], [-3.0, 9.0], [9.0, -9.0]], dtype=torch.float64)
    counts = [3.0, 200.0, 0.0, 30_000.0]
    alpha = np.asarray(0.5 * (4 * (parameters[:, 1] / 4).tanh()).exp())
    expected = -_nb2(_mean(parameters), alpha).logpmf(counts)
    head = CountHead(SPEC, 3, distribution="negative_binomial")
    assert head.loss(parameters, _target(*counts))[:, 0].tolist() == pytest.approx(expected.tolist())
    assert head.loss(parameters.float(), _target(*counts)).dtype == torch.float32


@pytest.mark.parametrize("distribution", ["poisson", WIDE])
def test_gradient(distribution: Any) -> None:
    head = CountHead(SPEC, 3, distribution=distribution).double()
    width = 2 if distribution == WIDE else 1
    parameters = torch.randn(4, width, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: head.loss_sum(p, _target(0, 1, 30, 4)), (parameters,))


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_loss_and_gradient_stay_finite_far_out(extreme: float) -> None:
    head = CountHead(SPEC, 3, distribution="negative_binomial")
    parameters = torch.full((2, 2), extreme, requires_grad=True)
    loss = head.loss_sum(parameters, _target(0, 1e6))
    loss.backward()
    assert loss.isfinite() and parameters.grad is not None and parameters.grad.isfinite().all()


def test_prediction_in_counts() -> None:
    head = CountHead(SPEC, 3, distribution="negative_binomial")
    told = head.decode(head.baseline(_target(0)))
    assert told.keys() == {"", "dispersion"}
    assert told[""] == pytest.approx([4]) and told["dispersion"] == pytest.approx([0.5])
    two = CountSpec(columns=["a", "b"], rate=[1.0, 2.0], dispersion=[1.0, 1.0])
    told = CountHead(two, 3).decode(torch.tensor([[0.0, math.log(3)]]))
    assert told["a"] == pytest.approx([1]) and told["b"] == pytest.approx([6], rel=0.01)


@pytest.mark.parametrize("distribution", ["poisson", WIDE])
def test_metrics_of_observed_cells(distribution: Any) -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(4, 50).astype(np.float64)
    observed = rng.random(50) < 0.7
    head = CountHead(SPEC, 3, distribution=distribution)
    parameters = torch.from_numpy(rng.normal(0, 0.7, (50, 2 if distribution == WIDE else 1)))
    value = torch.from_numpy(np.where(observed, counts, math.nan))[:, None]
    metrics = head.metrics()
    head.score(metrics, parameters, Target(torch.arange(50), value, torch.from_numpy(observed)[:, None]))
    found = {name: float(metric.compute()) for name, metric in metrics.items()}
    y, mean = counts[observed], _mean(parameters)[observed]
    expected = {"mae": np.abs(y - mean).mean(), "rmse": np.sqrt(np.square(y - mean).mean())}
    if distribution == WIDE:
        alpha = np.asarray(0.5 * (4 * (parameters[:, 1] / 4).tanh()).exp())[observed]
        own = _nb2(mean, alpha)
        at_truth = np.where(y > 0, _nb2(np.maximum(y, 1), alpha).logpmf(y), 0)
        expected["deviance"] = 2 * (at_truth - own.logpmf(y)).mean()
    else:
        own = stats.poisson(mean)
        expected["deviance"] = mean_poisson_deviance(y, mean)
        k = np.arange(200)[:, None]
        expected["crps"] = ((own.cdf(k) - (y <= k)) ** 2).sum(0).mean()
    expected["nll"] = -own.logpmf(y).mean()
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("distribution", ["poisson", WIDE])
def test_draws_have_the_distribution_that_is_told(distribution: Any) -> None:
    head, n = CountHead(SPEC, 3, distribution=distribution), 20_000
    parameters = head.baseline(_target(0)).expand(n, -1)
    drawn = np.array(head.sample(parameters, Draws(torch.arange(n)))[""])
    own: Any = _nb2(np.array(4.0), np.array(0.5)) if distribution == WIDE else stats.poisson(4)
    for k in (0, 1, 3, 6, 12):
        assert (drawn <= k).mean() == pytest.approx(own.cdf(k), abs=0.012)
    cold = head.sample(parameters[:3], Draws(torch.arange(3)), temperature=0.0)[""]
    assert cold == [max(range(20), key=own.pmf)] * 3 or own.pmf(cold[0]) == pytest.approx(
        own.pmf(range(20)).max()
    )
    large = torch.full((2_000, 1), 12.0) if distribution == "poisson" else torch.full((2_000, 2), 12.0)
    drawn = np.array(head.sample(large, Draws(torch.arange(2_000)))[""])
    assert drawn.min() >= 0 and drawn.mean() == pytest.approx(float(head.decode(large[:1])[""][0]), rel=0.5)


@pytest.mark.parametrize("distribution", ["poisson", WIDE])
def test_it_learns_a_rate_that_depends_on_the_input(distribution: Any) -> None:
    torch.manual_seed(0)
    x = torch.randn(2_000, 2, dtype=torch.float64)
    y = torch.poisson((1 + x[:, 0]).exp())[:, None]
    head = CountHead(_fit(y.numpy()), 2, distribution=distribution).double()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    target = Target(torch.arange(2_000), y)
    for _ in range(250):
        optimizer.zero_grad()
        (head.loss_sum(head(x), target) / 2_000).backward()
        optimizer.step()
    told = head.decode(head(torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)).detach())
    found = next(iter(told.values()))
    assert found == pytest.approx([math.exp(2), 1], rel=0.1)
