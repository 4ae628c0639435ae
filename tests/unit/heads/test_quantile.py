from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss

from mmseq.batch import Target
from mmseq.errors import ConfigError, DataError
from mmseq.heads import Labels
from mmseq.heads.quantile import QuantileConfig, QuantileHead, QuantileSpec
from mmseq.random import Draws

LEVELS = [0.05, 0.25, 0.5, 0.9]


def _fit(values: np.ndarray, **options: Any) -> QuantileSpec:
    columns = [f"y{c}" for c in range(values.shape[1])]
    config = QuantileConfig(kind="quantile", table="t", columns=columns, **options)
    return QuantileHead.fit(config, Labels(tuple(columns), values, np.zeros(0), task="delay"))


def _target(values: np.ndarray) -> Target:
    return Target(torch.arange(len(values)), torch.from_numpy(values))


def test_the_baseline_is_the_quantiles_of_the_training_split() -> None:
    values = np.random.default_rng(0).exponential(5, (200, 2))
    values[:50, 0] = math.nan
    for transform in (None, "log1p"):
        options = {"quantiles": LEVELS, "transform": transform}
        head = QuantileHead(_fit(values, **options), 3, **options).double()  # type: ignore[arg-type]
        told = head.decode(head.baseline(_target(np.zeros((1, 2)))))
        for c in range(2):
            for level in LEVELS:
                seen = values[:, c][~np.isnan(values[:, c])]
                seen = np.log1p(seen) if transform else seen
                expected = np.quantile(seen, level)  # a quantile between two labels is interpolated in T(y)
                expected = np.expm1(expected) if transform else expected
                assert told[f"y{c}.q_{level:g}"][0] == pytest.approx(expected, rel=1e-5)


def test_a_column_of_its_own_is_told_without_its_name() -> None:
    head = QuantileHead(_fit(np.arange(10.0)[:, None]), 3, quantiles=[0.1, 0.5, 0.9])
    told = head.decode(torch.zeros(1, 3))
    assert list(told) == ["q_0.1", "q_0.5", "q_0.9"]
    mean, std = 4.5, float(np.arange(10.0).std())
    assert [float(x[0]) for x in told.values()] == pytest.approx(
        [mean + std * z for z in (-math.log(2), 0, math.log(2))], rel=1e-6
    )


def test_loss_is_the_pinball_loss_of_the_standardised_number() -> None:
    values = np.random.default_rng(1).normal(3, 2, (40, 1))
    head = QuantileHead(_fit(values, quantiles=LEVELS), 3, quantiles=LEVELS).double()
    parameters = torch.randn(40, 4, dtype=torch.float64)
    z, told = (values - values.mean()) / values.std(), head.standardised(parameters)[:, 0].numpy()
    expected = [mean_pinball_loss(z[:, 0], told[:, i], alpha=q) for i, q in enumerate(LEVELS)]
    assert float(head.loss(parameters, _target(values)).mean()) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("levels", [[0.5], [0.9, 0.95], [0.01, 0.02], [i / 20 for i in range(1, 20)]])
@pytest.mark.parametrize("extreme", [1.0, 30.0, 1e4])
def test_quantiles_never_cross(levels: list[float], extreme: float) -> None:
    head = QuantileHead(_fit(np.arange(9.0)[:, None], quantiles=levels), 3, quantiles=levels)
    told = head.original(extreme * torch.randn(500, len(levels)))
    assert told.isfinite().all() and (told.diff(dim=2) >= 0).all()


def test_equal_labels_have_quantiles_too() -> None:
    head = QuantileHead(_fit(np.full((7, 1), 2.0)), 3, quantiles=[0.1, 0.5, 0.9])
    told = head.decode(head.baseline(_target(np.zeros((1, 1)))))
    assert [float(x[0]) for x in told.values()] == pytest.approx([2.0] * 3, abs=1e-5)


def test_gradient() -> None:
    values = np.random.default_rng(2).exponential(2, (6, 2))
    options = {"quantiles": LEVELS, "transform": "log1p"}
    head = QuantileHead(_fit(values, **options), 3, **options).double()  # type: ignore[arg-type]
    parameters = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: head.loss_sum(p, _target(values)), (parameters,))


def test_metrics_of_observed_cells_in_original_units() -> None:
    rng = np.random.default_rng(3)
    values = rng.exponential(50, (60, 2))
    observed = rng.random(values.shape) < 0.7
    options = {"quantiles": [0.1, 0.5, 0.8], "transform": "log1p"}
    head = QuantileHead(_fit(values, **options), 3, **options).double()  # type: ignore[arg-type]
    parameters = torch.randn(60, 6, dtype=torch.float64)
    metrics = head.metrics()
    filled = torch.from_numpy(np.where(observed, values, math.nan))
    head.score(metrics, parameters, Target(torch.arange(60), filled, torch.from_numpy(observed)))
    told, inside = head.original(parameters).numpy(), []
    for c in range(2):
        y, q = values[observed[:, c], c], told[observed[:, c], c]
        losses = [mean_pinball_loss(y, q[:, i], alpha=a) for i, a in enumerate([0.1, 0.5, 0.8])]
        inside.append(((q[:, 0] <= y) & (y <= q[:, 2])).mean())
        assert float(metrics[f"pinball.y{c}"].compute()) == pytest.approx(np.mean(losses))
        assert float(metrics[f"mae.y{c}"].compute()) == pytest.approx(np.abs(y - q[:, 1]).mean())
        assert float(metrics[f"width.y{c}"].compute()) == pytest.approx((q[:, 2] - q[:, 0]).mean())
    assert float(metrics["coverage"].compute()) == pytest.approx(np.mean(inside))


def test_it_learns_quantiles_that_depend_on_the_input() -> None:
    torch.manual_seed(0)
    x = torch.rand(4_000, 1, dtype=torch.float64)
    y = x + (0.2 + x) * torch.randn_like(x)  # wider where x is larger
    head = QuantileHead(_fit(y.numpy(), quantiles=[0.1, 0.5, 0.9]), 1, quantiles=[0.1, 0.5, 0.9]).double()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    target = Target(torch.arange(len(y)), y)
    for _ in range(300):
        optimizer.zero_grad()
        head.loss_sum(head(x), target).backward()
        optimizer.step()
    with torch.no_grad():
        told = head.original(head(torch.tensor([[0.2], [0.8]], dtype=torch.float64)))[:, 0]
    for row, at in zip(told.tolist(), (0.2, 0.8), strict=True):
        spread = 1.2816 * (0.2 + at)
        assert row == pytest.approx([at - spread, at, at + spread], abs=0.12)


@pytest.mark.parametrize("levels", [[0.5, 0.5], [0.9, 0.1], [0.0, 0.5], [0.5, 1.0]])
def test_quantiles_are_in_order_and_within_bounds(levels: list[float]) -> None:
    with pytest.raises(ValueError, match="must be between 0 and 1, each above the one before; came"):
        QuantileConfig(kind="quantile", table="t", column="y", quantiles=levels)


def test_quantiles_are_no_distribution_to_draw_from() -> None:
    head = QuantileHead(_fit(np.arange(9.0)[:, None]), 3, quantiles=[0.1, 0.5, 0.9])
    with pytest.raises(ConfigError, match="predicts no distribution"):
        head.sample(torch.zeros(1, 3), Draws(torch.arange(1)))


def test_labels_are_checked_as_numbers_are() -> None:
    with pytest.raises(DataError, match="transform log1p needs labels above -1; got -2"):
        _fit(np.array([[1.0], [-2.0]]), transform="log1p")
