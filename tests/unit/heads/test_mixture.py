from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate
from torch.distributions import Categorical, ExpTransform, MixtureSameFamily, Normal, TransformedDistribution

from mmseq.batch import Target
from mmseq.heads import Labels
from mmseq.heads.gaussians import Gaussians, spread_out
from mmseq.heads.mixture import MixtureConfig, MixtureHead, MixtureSpec
from mmseq.random import Draws


def _head(values: np.ndarray, **options: Any) -> MixtureHead:
    columns = [f"y{c}" for c in range(values.shape[1])]
    config = MixtureConfig(kind="mixture", table="t", columns=columns, **options)
    spec = MixtureHead.fit(config, Labels(tuple(columns), values, np.zeros(0), task="delay"))
    return MixtureHead(spec, 3, components=config.components, transform=config.transform).double()


def _oracle(parameters: torch.Tensor, spec: MixtureSpec, c: int, k: int) -> MixtureSameFamily:
    """The distribution of T(y) of a column, by another library."""
    own = parameters.view(len(parameters), -1, 3, k)[:, c]
    scale = spec.std[c] * (4 * (own[:, 2] / 4).tanh()).exp()
    mean = spec.mean[c] + spec.std[c] * own[:, 1]
    return MixtureSameFamily(Categorical(logits=own[:, 0]), Normal(mean, scale))


def _gaussians(share: list[float], mean: list[float], scale: list[float]) -> Gaussians:
    made = (torch.tensor(x, dtype=torch.float64)[None, None] for x in (share, mean, scale))
    log_share, means, scales = made
    return Gaussians(log_share.log(), means, scales)


@pytest.mark.parametrize("transform", [None, "log1p"])
def test_nll_is_the_exact_density_of_the_labels(transform: Any) -> None:
    values = np.random.default_rng(0).exponential(20, (30, 2))
    head = _head(values, components=3, transform=transform)
    parameters = torch.randn(30, 18, dtype=torch.float64)
    target = Target(torch.arange(30), torch.from_numpy(values))
    metrics = head.metrics()
    head.score(metrics, parameters, target)
    truth, expected = torch.from_numpy(values), []
    for c in range(2):
        distribution: Any = _oracle(parameters, head.spec, c, 3)
        if transform:
            distribution = TransformedDistribution(distribution, ExpTransform())
        expected.append(-distribution.log_prob(truth[:, c] + bool(transform)).mean())
    assert float(metrics["nll"].compute()) == pytest.approx(float(torch.stack(expected).mean()))
    loss = head.loss(parameters, target) + head.log_jacobian(truth)
    assert float(loss.mean()) == pytest.approx(float(torch.stack(expected).mean()))


def test_gradient() -> None:
    values = np.random.default_rng(1).exponential(2, (6, 2))
    head = _head(values, components=2, transform="log1p")
    parameters = torch.randn(6, 12, dtype=torch.float64, requires_grad=True)
    target = Target(torch.arange(6), torch.from_numpy(values))
    assert torch.autograd.gradcheck(lambda p: head.loss_sum(p, target), (parameters,))


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_gradients_stay_finite_at_any_scale(extreme: float) -> None:
    head = _head(np.arange(9.0)[:, None], components=2)
    parameters = torch.full((1, 6), extreme, dtype=torch.float64, requires_grad=True)
    head.loss_sum(parameters, Target(torch.arange(1), torch.tensor([[3.0]]))).backward()
    assert parameters.grad is not None and parameters.grad.isfinite().all()


def test_median_and_mean_are_those_of_the_distribution() -> None:
    values = np.random.default_rng(2).exponential(20, (50, 1))
    head = _head(values, components=4, transform="log1p")
    parameters = torch.randn(7, 12, dtype=torch.float64) / 2
    told, oracle = head.decode(parameters), _oracle(parameters, head.spec, 0, 4)
    median = torch.from_numpy(told[""]).log1p()
    assert oracle.cdf(median).numpy() == pytest.approx(np.full(7, 0.5), abs=1e-12)
    for i in range(7):
        own = _oracle(parameters[i : i + 1], head.spec, 0, 4)

        def weighted(x: float, own: MixtureSameFamily = own) -> float:
            return math.expm1(x) * math.exp(float(own.log_prob(torch.tensor([x], dtype=torch.float64))))

        assert told["mean"][i] == pytest.approx(integrate.quad(weighted, -40, 60, limit=400)[0], rel=1e-6)


def test_crps_is_the_integral_that_defines_it() -> None:
    mixed = _gaussians([0.2, 0.5, 0.3], [-1.0, 0.5, 4.0], [0.3, 1.0, 0.1])
    for y in (-3.0, 0.4, 4.2):

        def squared(x: float, y: float = y) -> float:
            return (float(mixed.up_to(torch.tensor([[x]], dtype=torch.float64))) - (x >= y)) ** 2

        points = [y, -1.0, 4.0]
        expected = integrate.quad(squared, -15, 20, points=points, limit=400)[0]
        assert float(mixed.crps(torch.tensor([[y]], dtype=torch.float64))) == pytest.approx(
            expected, rel=1e-6
        )


def test_draws_have_the_distribution_that_is_told() -> None:
    head = _head(np.random.default_rng(3).exponential(20, (50, 1)), components=3, transform="log1p")
    parameters = torch.randn(1, 9, dtype=torch.float64)
    drawn = np.array(head.sample(parameters.expand(20_000, -1), Draws(torch.arange(20_000)))[""])
    oracle = _oracle(parameters, head.spec, 0, 3)
    for level in (0.1, 0.5, 0.9):
        x = np.log1p(np.quantile(drawn, level))
        assert float(oracle.cdf(torch.tensor([x]))) == pytest.approx(level, abs=0.012)
    cold = head.sample(parameters.expand(5, -1), Draws(torch.arange(5)), temperature=0.0)[""]
    own = head.distribution(parameters)
    assert cold == pytest.approx([math.expm1(float(own.mean[0, 0, own.log_share[0, 0].argmax()]))] * 5)


@pytest.mark.parametrize("bound", [-10.0, 0.0, 2.0, 8.0, 60.0])
def test_draws_above_a_bound_are_the_mixture_cut_there(bound: float) -> None:
    mixed, n = _gaussians([0.7, 0.3], [0.0, 3.0], [1.0, 0.5]), 60_000
    many = Gaussians(*(x.expand(n, -1, -1) for x in (mixed.log_share, mixed.mean, mixed.scale)))
    at = torch.full((n,), bound, dtype=torch.float64)
    drawn = many.draw_above(at, Draws(torch.arange(n)))
    assert (drawn >= bound).all() and drawn.isfinite().all()
    if bound == 60:  # beyond what float64 can tell of a tail
        return

    def tail(x: float) -> float:
        parts = torch.special.log_ndtr((mixed.mean - x) / mixed.scale) + mixed.log_share
        return float(parts.logsumexp(-1).exp())

    for level in (0.1, 0.5, 0.9):
        assert tail(float(drawn.quantile(1 - level))) / tail(bound) == pytest.approx(level, abs=0.012)


def test_without_temperature_the_most_probable_component_that_is_left_is_taken() -> None:
    mixed = _gaussians([0.7, 0.3], [0.0, 3.0], [1.0, 0.5])
    for bound, expected in ((-1.0, 0.0), (1.0, 3.0), (5.0, 5.0)):
        at = torch.tensor([bound], dtype=torch.float64)
        assert mixed.draw_above(at, Draws(torch.arange(1)), temperature=0.0).tolist() == [expected]


def test_the_start_has_the_moments_of_the_labels() -> None:
    z = np.random.default_rng(4).exponential(1, 103)
    for components in (1, 4, 7, 200):
        centres, widths = spread_out(z, components)
        assert np.mean(centres) == pytest.approx(z.mean())
        if components < 10:
            assert np.mean(np.square(widths) + np.square(centres)) == pytest.approx((z**2).mean(), rel=1e-3)
    assert spread_out(np.array([1.0, 1.0]), 2) == ([1.0, 1.0], [0.03, 0.03])


def test_the_baseline_beats_a_gaussian_on_labels_with_two_peaks() -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(-5, 0.3, 300), rng.normal(5, 0.3, 300)])[:, None]
    target = Target(torch.arange(600), torch.from_numpy(values))
    one, four = (_head(values, components=k) for k in (1, 4))
    losses = [float(head.loss(head.baseline(target).double(), target).mean()) for head in (one, four)]
    assert losses[0] == pytest.approx((1 + math.log(2 * math.pi)) / 2, rel=1e-6)
    assert losses[1] < losses[0] - 1


def test_it_learns_two_peaks_that_the_input_moves() -> None:
    torch.manual_seed(0)
    x = torch.rand(2_000, 3, dtype=torch.float64)
    y = torch.where(torch.rand(2_000) < 0.5, x[:, 0], -x[:, 0])[:, None] * 5 + 0.1 * torch.randn(2_000, 1)
    head = _head(y.numpy(), components=2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    target = Target(torch.arange(2_000), y.double())
    for _ in range(300):
        optimizer.zero_grad()
        head.loss_sum(head(x), target).backward()
        optimizer.step()
    with torch.no_grad():
        parameters = head(torch.tensor([[0.8, 0.5, 0.5]], dtype=torch.float64))
    own = head.distribution(parameters)
    assert sorted(own.mean[0, 0].tolist()) == pytest.approx([-4, 4], abs=0.3)
    assert own.log_share.exp().flatten().tolist() == pytest.approx([0.5, 0.5], abs=0.1)
