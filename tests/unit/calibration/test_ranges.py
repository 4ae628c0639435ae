"""Calibrated intervals, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.calibration.evidence import Choice, Evidence
from mmseq.calibration.ranges import RangeTask, widened
from mmseq.heads.certainty import Range
from mmseq.heads.count import CountHead, CountSpec
from mmseq.heads.mixture import MixtureHead, MixtureSpec
from mmseq.heads.quantile import QuantileHead, QuantileSpec
from mmseq.heads.regression import RegressionHead, RegressionSpec

Told = Callable[..., Evidence]
REPEATS, FITTED = 200, 59

ONE = {"columns": ["y"], "mean": [10.0], "std": [2.0]}
POINT = RegressionHead(RegressionSpec(**ONE), 1)
LOG = RegressionHead(RegressionSpec(columns=["y"], mean=[1.0], std=[2.0]), 1, transform="log1p")
GAUSSIAN = RegressionHead(RegressionSpec(**ONE), 1, loss="gaussian")
QUANTILES = QuantileHead(QuantileSpec(**ONE, quantiles=[[-1.0, 0.0, 1.0]]), 1, quantiles=[0.1, 0.5, 0.9])
MIXTURE = MixtureHead(MixtureSpec(**ONE, centres=[[-1.0, 1.0]], widths=[[1.0, 1.0]]), 1, components=2)
COUNT = CountHead(CountSpec(columns=["y"], rate=[3.0], dispersion=[0.1]), 1)
HEADS: dict[str, Any] = {
    "point": POINT, "log": LOG, "gaussian": GAUSSIAN, "quantiles": QUANTILES,
}  # fmt: skip


def drawn(head: Any, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Parameters that know where a number is, but not how far from there, which differs; and the numbers."""
    generator = torch.Generator().manual_seed(seed)
    width = head.linear.out_features
    parameters = torch.randn(n, width, generator=generator, dtype=torch.float64)
    told = head.ranges(parameters, 0.9)
    spread = 1 + torch.rand(n, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
    return parameters, head.untransform((told.low + told.high) / 2 + spread * noise)


@pytest.mark.parametrize("kind", HEADS)
def test_coverage_over_repeats(kind: str, told: Told) -> None:
    """200 times fitted on 59 labels; 50 new ones: as many in their intervals as should be.

    Caught: absolute values in the place of max(l − y, y − h), 0.98 of a Gaussian; the 52nd score taken for
    the 54th, 0.87.
    """
    head, shares, literal = HEADS[kind], [], 0
    for repeat in range(REPEATS):
        parameters, value = drawn(head, FITTED + 50, repeat)
        task, _ = RangeTask.fit(told(head, parameters[:FITTED], value[:FITTED]), Choice(0.9))
        _, further = task.apply(head, parameters[FITTED:], 0.9)
        new = value[FITTED:, 0].numpy()
        held = (further["low"] <= new) & (new <= further["high"])
        shares.append(held.mean())
        literal += int(held[0])
    error = math.sqrt((0.09 / 61 + 0.09 / 50) / REPEATS)
    assert abs(np.mean(shares) - 0.9) < 3 * error
    assert 168 <= literal <= 191  # 99 % of a binomial of 200 at 0.9


def test_by_hand(told: Told) -> None:
    """Residuals 1 to 9 of a point: an interval of 0.9 is as wide as the largest, one of 0.5 as the fifth."""
    parameters = torch.zeros(9, 1)
    value = 10 + torch.arange(1.0, 10)[:, None] * torch.tensor([1, -1] * 5)[:9, None]
    for coverage, wide in ((0.9, 9), (0.5, 5)):
        task, _ = RangeTask.fit(told(POINT, parameters, value), Choice(coverage))
        _, further = task.apply(POINT, torch.tensor([[0.0], [1.0]]), coverage)
        assert further["low"].tolist() == [10 - wide, 12 - wide]
        assert further["high"].tolist() == [10 + wide, 12 + wide]


def test_quantiles_are_widened_on_both_sides(told: Told) -> None:
    """Ends at 8 and 12, in steps of softplus; labels up to 3 above: each end moves by 3."""
    parameters = torch.tensor([[math.log(math.e - 1), 0.0, math.log(math.e - 1)]]).expand(9, 3)
    value = 12 + torch.linspace(-2.6, 3, 9)[:, None]
    task, measures = RangeTask.fit(told(QUANTILES, parameters, value), Choice(0.9))
    _, further = task.apply(QUANTILES, parameters[:1], 0.9)
    assert (further["low"][0], further["high"][0]) == (pytest.approx(5), pytest.approx(15))
    assert measures[0]["coverage"].before == pytest.approx(4 / 9)


def test_a_gaussian_is_widened_in_its_own_units(told: Told) -> None:
    """Twice the scale, twice as wide an interval."""
    parameters = torch.tensor([[0.0, 0.0]]).expand(20, 2)
    value = 10 + 3 * torch.linspace(-1, 1, 20)[:, None]
    task, _ = RangeTask.fit(told(GAUSSIAN, parameters, value), Choice(0.9))
    double = 4 * math.atanh(math.log(2) / 4)
    _, further = task.apply(GAUSSIAN, torch.tensor([[0.0, 0.0], [0.0, double]]), 0.9)
    widths = further["high"] - further["low"]
    assert widths[1] == pytest.approx(2 * widths[0], rel=1e-6)


def test_a_mixture_is_widened_from_its_own_quantiles(told: Told) -> None:
    """Labels twice as wide as it tells; its 5 and 95 % leave out many, the interval a tenth."""
    parameters = MIXTURE.start.double().expand(999, -1)
    value = 10 + 6 * torch.linspace(-2, 2, 999, dtype=torch.float64)[:, None]
    task, (measures,) = RangeTask.fit(told(MIXTURE, parameters, value), Choice(0.9))
    assert measures["coverage"].before < 0.6 and measures["coverage"].after == pytest.approx(0.9, abs=0.02)
    _, further = task.apply(MIXTURE, parameters[:1], 0.9)
    assert (further["low"][0], further["high"][0]) == (
        pytest.approx(-0.8, abs=0.1),
        pytest.approx(20.8, abs=0.1),
    )


def test_a_margin_below_0_never_turns_an_interval_around() -> None:
    told = Range(*(torch.tensor([[x]], dtype=torch.float64) for x in (1.0, 2.0, 1.0)))
    for margin, ends in ((-0.25, (1.25, 1.75)), (-3.0, (1.5, 1.5)), (1.0, (0.0, 3.0))):
        low, high = widened(told, torch.tensor([margin], dtype=torch.float64))
        assert (float(low), float(high)) == ends


def test_counts_stay_above_0(told: Told) -> None:
    parameters = torch.zeros(30, 1)
    value = torch.arange(30.0)[:, None] % 12
    task, _ = RangeTask.fit(told(COUNT, parameters, value), Choice(0.9))
    _, further = task.apply(COUNT, parameters[:1], 0.9)
    assert further["low"][0] == 0 and further["high"][0] > 9


def test_columns_are_calibrated_alone_and_masked(told: Told) -> None:
    """One with labels, one with too few, whose ends are left out; cells that are not real do not matter."""
    head = RegressionHead(RegressionSpec(columns=["a", "b"], mean=[0.0, 0.0], std=[1.0, 1.0]), 1)
    value = torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    observed = torch.ones(30, 2, dtype=torch.bool)
    observed[4:, 1] = False
    parameters = torch.zeros(30, 2, dtype=torch.float64)
    filled = [torch.where(observed, value, fill) for fill in (0.0, 1e30, math.nan)]
    found = [RangeTask.fit(told(head, parameters, own, observed), Choice(0.9)) for own in filled]
    assert found[0][0] == found[1][0] == found[2][0]
    task = found[0][0]
    assert task.columns[1].is_empty
    assert task.columns[1].remark == "no intervals: a coverage of 0.9 needs labels of 9 samples; there are 4"
    assert list(task.apply(head, parameters[:1], 0.9)[1]) == ["a.low", "a.high"]


def test_points_have_no_coverage_before(told: Told) -> None:
    parameters, value = drawn(POINT, 40, 0)
    _, (measures,) = RangeTask.fit(told(POINT, parameters, value), Choice(0.9))
    assert math.isnan(measures["coverage"].before) and math.isnan(measures["width"].before)
    assert 0.7 < measures["coverage"].after <= 1


def test_labels_that_were_not_fitted_judge_it(told: Told) -> None:
    parameters, value = drawn(LOG, 60, 0)
    task, _ = RangeTask.fit(told(LOG, parameters, value), Choice(0.9))
    parameters, value = drawn(LOG, 50, 1)
    (measures,) = task.measure(told(LOG, parameters, value), Choice(0.9))
    _, further = task.apply(LOG, parameters, 0.9)
    new = value[:, 0].numpy()
    held = (further["low"] <= new) & (new <= further["high"])
    assert measures["coverage"].after == pytest.approx(held.mean())
    assert measures["width"].after == pytest.approx((further["high"] - further["low"]).mean())
