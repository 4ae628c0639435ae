from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from mmseq.batch import Target
from mmseq.errors import ConfigError, DataError
from mmseq.heads import Labels
from mmseq.heads.regression import RegressionConfig, RegressionHead, RegressionSpec
from mmseq.random import Draws

SPEC = RegressionSpec(columns=["y"], mean=[10.0], std=[2.0])


def _labels(*values: float) -> Labels:
    return Labels(("y",), np.array(values)[:, None], np.zeros(0), task="delay")


def _fit(labels: Labels, **options: Any) -> RegressionSpec:
    config = RegressionConfig(kind="regression", table="t", columns=list(labels.columns), **options)
    return RegressionHead.fit(config, labels)


def _target(*values: float, previous: list[float] | None = None) -> Target:
    last = None if previous is None else torch.tensor(previous)[:, None]
    return Target(torch.arange(len(values)), torch.tensor(values)[:, None], previous=last)


def test_facts_are_those_of_the_observed_labels_after_the_transform() -> None:
    assert _fit(_labels(1, math.nan, 3)) == RegressionSpec(columns=["y"], mean=[2.0], std=[1.0])
    spec = _fit(_labels(0, math.e - 1, math.nan), transform="log1p")
    assert spec.mean == pytest.approx([0.5]) and spec.std == pytest.approx([0.5])


@pytest.mark.parametrize("value", [0.0, 7.0, 1234567.1])
def test_constant_labels_are_not_divided_by_rounding_errors(value: float) -> None:
    spec = _fit(_labels(*[value] * 7))
    assert spec.std == [1.0] and spec.mean == pytest.approx([value])


@pytest.mark.parametrize(("centre", "spread"), [(1e9, 10.0), (1e9, 1e-2), (0.0, 1e-20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_that_differ_little_are_told_apart(centre: float, spread: float, dtype: torch.dtype) -> None:
    labels = _labels(centre - spread, centre + spread)
    head = RegressionHead(_fit(labels), 4, loss="absolute").to(dtype)
    encoded = head.encode(labels)
    target = Target(torch.from_numpy(encoded.row), torch.from_numpy(encoded.value))
    loss = head.loss(torch.tensor([[-1.0], [-1.0]], dtype=dtype), target)
    torch.testing.assert_close(loss, torch.tensor([[0.0], [2.0]], dtype=dtype), atol=1e-4, rtol=0)
    repeated = head.baseline(Target(target.where, target.value, previous=target.value))
    assert repeated.dtype == dtype
    torch.testing.assert_close(head.original(repeated), target.value, atol=spread * 1e-5, rtol=0)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ((1, -1), {"transform": "log1p"}, "transform log1p needs labels above -1; got -1"),
        ((1, math.inf), {}, "labels must be finite, or missing; got inf"),
        ((1, -1e141), {}, "labels must lie within ±1e140, .*; got -1e.141"),
        ((math.nan,), {}, "has no label in the training split"),
    ],
)
def test_labels_that_cannot_be_learned(
    labels: tuple[float, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=f"task 'delay', column y: {message}"):
        _fit(_labels(*labels), **options)


def test_labels_of_another_split_are_checked_too() -> None:
    with pytest.raises(DataError, match="needs labels above -1; got -3"):
        RegressionHead(SPEC, 4, transform="log1p").encode(_labels(0, -3))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("squared", [2.25, 0.25]), ("absolute", [1.5, 0.5]), ("huber", [1.0, 0.125])],
)
def test_loss_of_the_standardised_difference(loss: Any, expected: list[float]) -> None:
    found = RegressionHead(SPEC, 4, loss=loss).loss(torch.tensor([[0.5], [0.5]]), _target(14.0, 10.0))
    assert found[:, 0].tolist() == expected


def test_gaussian_loss_is_the_negative_log_density() -> None:
    parameters = torch.tensor([[0.5, 1.2], [-1.0, -3.0]])
    scale = (4 * (parameters[:, 1] / 4).tanh()).exp()
    expected = -torch.distributions.Normal(parameters[:, 0], scale).log_prob(torch.tensor([2.0, 0.0]))
    found = RegressionHead(SPEC, 4, loss="gaussian").loss(parameters, _target(14.0, 10.0))
    torch.testing.assert_close(found[:, 0], expected)


@pytest.mark.parametrize("extreme", [-1e4, -30.0, 30.0, 1e4])
def test_gaussian_gradients_stay_finite_at_any_scale(extreme: float) -> None:
    parameters = torch.tensor([[1e3, extreme]], requires_grad=True)
    RegressionHead(SPEC, 4, loss="gaussian").loss_sum(parameters, _target(10.0)).backward()
    assert parameters.grad is not None and parameters.grad.isfinite().all()


def test_gradient_of_the_gaussian_loss() -> None:
    head = RegressionHead(SPEC, 4, loss="gaussian", transform="log1p").double()
    parameters = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    target = _target(0.0, 1.0, 5.0, 90.0, 2.0)
    assert torch.autograd.gradcheck(lambda p: head.loss_sum(p, target), (parameters,))


def test_prediction_in_original_units() -> None:
    columns = RegressionHead(SPEC, 4, loss="gaussian").decode(torch.tensor([[1.5, 0.0]]))
    assert columns.keys() == {"", "scale"}
    assert columns[""] == pytest.approx([13]) and columns["scale"] == pytest.approx([2])
    spec = RegressionSpec(columns=["y", "z"], mean=[1.0, 100.0], std=[0.5, 300.0])
    columns = RegressionHead(spec, 4, transform="log1p").decode(torch.tensor([[2.0, 1.0]]))
    assert columns["y"] == pytest.approx([math.expm1(2)]) and columns["z"] == pytest.approx([math.expm1(400)])


def test_baseline_is_the_mean_or_the_last_value() -> None:
    for transform in (None, "log1p"):
        spec = RegressionSpec(columns=["y"], mean=[math.log1p(3) if transform else 3.0], std=[2.0])
        head = RegressionHead(spec, 4, transform=transform)
        found = head.decode(head.baseline(_target(0.0, 0.0, previous=[8.0, math.nan])))[""]
        assert found == pytest.approx([8, 3])


def test_metrics_in_original_units() -> None:
    rng = np.random.default_rng(0)
    truth = rng.exponential(20, (50, 2)) + np.array([0, 1e6])
    observed = rng.random(truth.shape) < 0.8
    spec = RegressionSpec(columns=["y", "z"], mean=[20.0, 1e6], std=[20.0, 20.0])
    standardised = (truth - spec.mean) / spec.std + rng.normal(0, 0.5, truth.shape)
    point = standardised * spec.std + spec.mean
    head = RegressionHead(spec, 4)
    metrics = head.metrics()
    value = torch.from_numpy(np.where(observed, truth, np.nan))
    head.score(
        metrics, torch.from_numpy(standardised), Target(torch.arange(50), value, torch.from_numpy(observed))
    )
    pairs = [(truth[observed[:, c], c], point[observed[:, c], c]) for c in range(2)]
    expected = {
        **{f"mae.{name}": np.abs(y - p).mean() for name, (y, p) in zip("yz", pairs, strict=True)},
        **{
            f"rmse.{name}": np.sqrt(np.square(y - p).mean()) for name, (y, p) in zip("yz", pairs, strict=True)
        },
        "r2": np.mean([r2_score(y, p) for y, p in pairs]),
    }
    assert {name: float(metric.compute()) for name, metric in metrics.items()} == pytest.approx(expected)


def test_metrics_of_a_transform() -> None:
    spec = RegressionSpec(columns=["y"], mean=[1.0], std=[0.5])
    head = RegressionHead(spec, 4, loss="gaussian", transform="log1p").double()
    parameters = torch.tensor([[0.1, 0.3], [1.0, -0.5], [-40.0, 0.0]], dtype=torch.float64)
    truth = torch.tensor([1.5, 4.0, 0.2], dtype=torch.float64)
    metrics = head.metrics()
    head.score(metrics, parameters, Target(torch.arange(3), truth[:, None]))
    location = 1 + 0.5 * parameters[:, 0]
    assert float(metrics["r2_log1p"].compute()) == pytest.approx(r2_score(truth.log1p(), location))
    scale = 0.5 * (4 * (parameters[:, 1] / 4).tanh()).exp()
    normal = torch.distributions.Normal(location, scale)
    density = torch.distributions.TransformedDistribution(
        normal, torch.distributions.ExpTransform()
    ).log_prob(truth + 1)
    assert float(metrics["nll"].compute()) == pytest.approx(float(-density.mean()))


def test_half_precision_outputs_lose_no_labels() -> None:
    head = RegressionHead(SPEC, 4)
    parameters = torch.zeros(5_000, 1, dtype=torch.bfloat16)
    assert head.loss_sum(parameters, _target(*[12.0] * 5_000)).item() == 5_000


def test_facts_move_with_the_head_and_keep_their_digits() -> None:
    head = RegressionHead(SPEC, 4).to("meta", torch.bfloat16)
    assert {(fact.device.type, fact.dtype) for fact in (head.mean, head.std)} == {("meta", torch.float64)}
    assert head.linear.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_draws_have_the_mean_and_scale_that_are_told(transform: Any) -> None:
    head = RegressionHead(
        RegressionSpec(columns=["y"], mean=[1.0], std=[0.5]), 4, loss="gaussian", transform=transform
    )
    parameters = torch.tensor([[0.4, -0.3]]).expand(40_000, -1)
    told = head.decode(parameters[:1])
    for temperature in (0.5, 1.0):
        drawn = np.array(head.sample(parameters, Draws(torch.arange(40_000)), temperature=temperature)[""])
        normal = np.log1p(drawn) if transform else drawn
        mean = np.log1p(told[""][0]) if transform else told[""][0]
        scale = temperature * float(told["scale"][0])
        assert normal.mean() == pytest.approx(mean, abs=5 * scale / 200)
        assert normal.std() == pytest.approx(scale, rel=0.02)
    assert head.sample(parameters[:1], Draws(torch.arange(1)), temperature=0.0)[""] == pytest.approx(told[""])


def test_without_a_spread_there_is_nothing_to_draw_from() -> None:
    head = RegressionHead(SPEC, 4)
    with pytest.raises(ConfigError, match="it is 'squared', which learns no spread; set loss: gaussian"):
        head.sample(torch.zeros(1, 1), Draws(torch.arange(1)))


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_crps_of_the_gaussian_is_that_of_many_draws(transform: Any) -> None:
    spec = RegressionSpec(columns=["y"], mean=[1.0], std=[0.5])
    head = RegressionHead(spec, 4, loss="gaussian", transform=transform)
    parameters, target = torch.tensor([[0.4, -0.3], [-1.0, 0.5]]), _target(1.5, 0.3)
    metrics = head.metrics()
    head.score(metrics, parameters, target)
    rng, expected = np.random.default_rng(0), []
    for (mean, scale), y in zip(np.stack(head.gaussian(parameters), -1)[:, 0], (1.5, 0.3), strict=True):
        a, b = rng.normal(mean, scale, (2, 400_000))
        expected.append(np.abs(a - (math.log1p(y) if transform else y)).mean() - np.abs(a - b).mean() / 2)
    name = "crps_log1p" if transform else "crps"
    assert float(metrics[name].compute()) == pytest.approx(np.mean(expected), rel=5e-3)
