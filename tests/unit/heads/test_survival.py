from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate

from mmseq.batch import Target
from mmseq.errors import DataError
from mmseq.heads import Labels
from mmseq.heads.survival import SurvivalConfig, SurvivalHead, SurvivalSpec

SPEC = SurvivalSpec(ends=[1.0, 3.0, 4.0], hazards=[0.2, 0.5, 0.3])
NAN = math.nan


def _labels(*rows: tuple[float, float], dtype: Any = np.float64) -> Labels:
    return Labels(("days", "died"), np.array(rows, dtype), np.zeros(0), task="death")


def _config(**options: Any) -> SurvivalConfig:
    return SurvivalConfig(kind="survival", table="t", duration="days", event="died", **options)


def _head(spec: SurvivalSpec = SPEC) -> SurvivalHead:
    return SurvivalHead(spec, 3).double()


def _target(*rows: tuple[float, float], dtype: Any = torch.float64) -> Target:
    return Target(torch.arange(len(rows)), torch.tensor(rows, dtype=dtype))


def _logits(*hazards: float) -> torch.Tensor:
    return torch.tensor([hazards], dtype=torch.float64).logit()


@pytest.mark.parametrize(
    ("duration", "event", "likelihood"),
    [
        (0.0, 1, 0.2),  # the first bin holds 0
        (0.7, 1, 0.2),
        (1.0, 1, 0.2),  # an end belongs to the bin before it
        (1.1, 1, 0.8 * 0.5),
        (3.0, 1, 0.8 * 0.5),
        (3.5, 1, 0.8 * 0.5 * 0.3),
        (4.0, 1, 0.8 * 0.5 * 0.3),
        (4.1, 1, 0.8 * 0.5 * 0.7),  # after the last end: as good as censored there
        (0.0, 0, 1.0),
        (1.0, 0, 0.8),
        (2.0, 0, 0.8 * 0.5**0.5),  # half of the second bin
        (3.0, 0, 0.8 * 0.5),
        (4.0, 0, 0.8 * 0.5 * 0.7),
        (99.0, 0, 0.8 * 0.5 * 0.7),
    ],
)
def test_likelihood_of_a_label(duration: float, event: int, likelihood: float) -> None:
    loss = _head().loss(_logits(0.2, 0.5, 0.3), _target((duration, event)))
    assert float(loss) == pytest.approx(-math.log(likelihood))


def test_ends_are_met_in_the_precision_of_the_labels() -> None:
    spec = SurvivalSpec(ends=[0.1, 0.7], hazards=[0.2, 0.5])
    for dtype in (torch.float32, torch.float64):
        losses = _head(spec).loss(_logits(0.2, 0.5).expand(2, -1), _target((0.1, 1), (0.1, 0), dtype=dtype))
        assert losses.tolist() == pytest.approx([-math.log(0.2), -math.log(0.8)], rel=1e-12)


def test_the_likelihood_of_all_that_can_happen_is_1() -> None:
    """Of events in each bin, and of living beyond the last one."""
    outcomes = _target((0.5, 1), (2.0, 1), (3.5, 1), (9.0, 0))
    parameters = torch.randn(1, 3, dtype=torch.float64).expand(4, -1)
    assert float((-_head().loss(parameters, outcomes)).exp().sum()) == pytest.approx(1)


def test_gradient() -> None:
    parameters = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = _target((0.5, 1), (2.5, 0), (3.0, 1), (7, 0))
    assert torch.autograd.gradcheck(lambda p: _head().loss_sum(p, target), (parameters,))


@pytest.mark.parametrize("extreme", [-1e4, -60.0, 60.0, 1e4])
def test_predictions_and_gradients_are_finite_far_out(extreme: float) -> None:
    parameters = torch.full((4, 3), extreme, requires_grad=True)
    loss = _head().loss_sum(parameters, _target((0.5, 1), (2.5, 0), (3.0, 1), (7, 0)))
    loss.backward()
    assert loss.isfinite() and parameters.grad is not None and parameters.grad.isfinite().all()
    for values in _head().decode(parameters.detach()).values():
        assert np.isfinite(values).all() and (values >= 0).all() and (values <= 4).all()


def test_prediction_in_the_unit_of_the_durations() -> None:
    told = _head().decode(_logits(0.2, 0.5, 0.3))
    assert list(told) == ["", "median", "s_1", "s_3", "s_4"]
    assert [float(told[f"s_{end}"][0]) for end in (1, 3, 4)] == pytest.approx([0.8, 0.4, 0.28])

    def survival(t: float) -> float:
        return float(np.exp(np.interp(t, [0, 1, 3, 4], np.log([1, 0.8, 0.4, 0.28]))))

    assert float(told[""][0]) == pytest.approx(integrate.quad(survival, 0, 4, points=[1, 3])[0])
    assert survival(float(told["median"][0])) == pytest.approx(0.5)
    late = _head().decode(_logits(0.01, 0.01, 0.01))
    assert float(late["median"][0]) == 4  # more than half live longer than is told


def test_hazards_are_events_among_those_at_risk() -> None:
    labels = _labels((0.5, 1), (1, 1), (2, 0), (NAN, NAN), (3, 1), (9, 0))
    spec = SurvivalHead.fit(_config(bins=[1.0, 3.0]), labels)
    assert spec.ends == [1, 3]
    assert spec.hazards == pytest.approx([(2 + 0.5) / (5 + 1), (1 + 0.5) / (2.5 + 1)])
    head = SurvivalHead(spec, 3)
    told = head.decode(head.baseline(_target((1.0, 1))))
    assert float(told["s_1"][0]) == pytest.approx(1 - 2.5 / 6, rel=1e-6)


def test_bins_hold_as_many_events_each() -> None:
    rng = np.random.default_rng(0)
    times = rng.exponential(20, 400).astype(np.float32)
    event = rng.random(400) < 0.5
    labels = _labels(*zip(times.tolist(), event.astype(float).tolist(), strict=True), dtype=np.float32)
    ends = SurvivalHead.fit(_config(bins=8), labels).ends
    own = np.searchsorted(np.array(ends, np.float32), times[event])
    assert len(ends) == 8 and ends[-1] == pytest.approx(times[event].max())
    assert np.abs(np.bincount(own, minlength=8) - event.sum() / 8).max() <= 1
    assert all(len(str(end)) < 12 for end in ends)  # as the data have them, not as float64 reads float32
    assert SurvivalHead.fit(_config(bins=8), _labels((2, 1), (2, 1), (5, 1), (0, 1))).ends == [2, 5]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(3, 1), (-1, 0)], "column days: durations must be finite and 0 or more; got -1; correct it"),
        ([(3, 1), (math.inf, 0)], "column days: durations must be finite and 0 or more; got inf"),
        ([(3, 1), (2, 2)], "column died: an event must be 1 .it came. or 0 .it had not come yet.; got 2"),
        ([(3, 1), (2, NAN)], "column died: needs a duration and an event together, or neither; got nothing"),
        ([(3, 1), (NAN, 1)], "column days: needs a duration and an event together, or neither; got nothing"),
    ],
)
def test_labels_that_are_no_time_until_an_event(rows: list[tuple[float, float]], message: str) -> None:
    for check in (lambda labels: SurvivalHead.fit(_config(), labels), _head().encode):
        with pytest.raises(DataError, match=f"task 'death', {message}"):
            check(_labels(*rows))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(3, 0), (NAN, NAN)], "column died: has no event in the training split"),
        ([(0, 1), (3, 0)], "all events of the training split are at time 0; bins need later ends"),
    ],
)
def test_a_training_split_without_events(rows: list[tuple[float, float]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SurvivalHead.fit(_config(), _labels(*rows))


def test_config_that_contradicts_itself() -> None:
    with pytest.raises(ValueError, match="each end must be above the one before; came 3, 2"):
        _config(bins=[3.0, 2.0])
    with pytest.raises(ValueError, match="duration and event are two columns; both are 'days'"):
        SurvivalConfig(kind="survival", table="t", duration="days", event="days")


def test_labels_that_are_missing_are_left_out() -> None:
    encoded = _head().encode(_labels((3, 1), (NAN, NAN), (2, 0)))
    assert encoded.row.tolist() == [0, 2] and encoded.observed is None
    assert encoded.value.tolist() == [[3, 1], [2, 0]]


def test_metrics_are_of_the_mean_time_and_of_the_probabilities() -> None:
    head, target = _head(), _target((0.5, 1), (2.0, 0), (3.5, 1), (9.0, 0))
    parameters = torch.stack([_logits(h, h, h)[0] for h in (0.6, 0.3, 0.2, 0.05)])
    metrics = head.metrics()
    head.score(metrics, parameters, target)
    assert float(metrics["c_index"].compute()) == 1
    assert float(metrics["nll"].compute()) == pytest.approx(float(head.loss(parameters, target).mean()))
    s = head.survival(parameters).numpy()
    # At 1 nobody was censored; at 3 and 4 one of the three at risk was: G = 2/3.
    scores = [
        (s[0, 0] ** 2 + ((1 - s[1:, 0]) ** 2).sum()) / 4,
        (s[0, 1] ** 2 + ((1 - s[2:, 1]) ** 2).sum() * 1.5) / 4,
        (s[0, 2] ** 2 + s[2, 2] ** 2 * 1.5 + (1 - s[3, 2]) ** 2 * 1.5) / 4,
    ]
    expected = ((scores[0] + scores[1]) / 2 * 2 + (scores[1] + scores[2]) / 2) / 3
    assert float(metrics["brier"].compute()) == pytest.approx(expected)


def test_it_learns_who_lives_longer_though_half_are_censored() -> None:
    torch.manual_seed(0)
    x = torch.randn(2_000, 2, dtype=torch.float64)
    time = -torch.rand(2_000, dtype=torch.float64).log() * (1 + x[:, 0]).exp()
    end = -torch.rand(2_000, dtype=torch.float64).log() * 4
    values = torch.stack([time.minimum(end), (time <= end).double()], 1)
    rows = [(float(a), float(b)) for a, b in values]
    head = SurvivalHead(SurvivalHead.fit(_config(), _labels(*rows)), 2).double()
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    target = Target(torch.arange(2_000), values)
    for _ in range(200):
        optimizer.zero_grad()
        (head.loss_sum(head(x), target) / 2_000).backward()
        optimizer.step()
    with torch.no_grad():
        told = head.decode(head(torch.tensor([[0.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)))
    median = [math.e * math.log(2), math.log(2)]  # of exponential times with means e and 1
    assert told["median"] == pytest.approx(median, rel=0.2)
