"""What the worked examples compute, against what a hand or a textbook has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target, Timeline
from mmseq.heads import Labels, heads
from mmseq.modalities import modalities
from mmseq.plugin import load_plugin
from mmseq.testing.events import stored

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture(autouse=True)
def plugins(forgets_plugins: None) -> None:
    load_plugin(PLUGINS / "hazard.py")
    load_plugin(PLUGINS / "gps.py")


def ends_of(*rows: tuple[float, float]) -> Labels:
    return Labels(("duration", "event"), np.array(rows, np.float64), np.zeros(0, np.int32), task="t")


def hazard(labels: Labels, bins: Any) -> Any:
    options = {"kind": "hazard", "table": "t", "duration": "duration", "event": "event", "bins": bins}
    config = heads.parse(options)
    return heads.build(config, heads.component_class("hazard").fit(config, labels), 2).double()


def test_the_likelihood_is_that_of_the_bins() -> None:
    """An event in the second bin: it survived the first. Lost at the end of the second: it survived two."""
    head = hazard(ends_of((1, 1), (2, 1), (3, 1)), [1.0, 2.0, 3.0])
    encoded = head.encode(ends_of((1.5, 1), (2.0, 0), (9, 1)))
    target = Target(torch.arange(3), torch.tensor(encoded.value))
    h = torch.tensor([0.2, 0.5, 0.6], dtype=torch.float64)
    parameters = head.link(h)
    loss = head.loss_sum(parameters.expand(3, 3), target)
    left = (1 - h).cumprod(0)
    expected = -(left[0] * h[1]).log() - left[1].log() - left[2].log()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    told = head.decode(parameters[None])
    shares = [float(told[name][0]) for name in ("s_1", "s_2", "s_3")]
    assert shares == pytest.approx(left.tolist(), rel=1e-12)


def test_a_unit_is_one_hazard_ratio_in_bins_of_any_width() -> None:
    """One bin of two days, or two of one day: a unit more makes S a power of e of what it was."""
    head = hazard(ends_of((1, 1), (2, 1), (3, 0)), [2.0, 3.0])
    wide, higher = (head.cumulative(torch.full((1, 2), x))[0, 0] for x in (-1.0, 0.0))
    assert float(higher / wide) == pytest.approx(math.e)


def test_the_baseline_is_the_life_table() -> None:
    """(events + ½) / (at risk + 1) of each bin, as of the head that it derives from."""
    head = hazard(ends_of((1, 1), (1, 1), (2, 1), (3, 0), (2, 0)), [1.0, 2.0])
    cumulative = head.cumulative(head.baseline(Target(torch.arange(1), torch.zeros(1, 2))))[0]
    assert (-(-cumulative).expm1()).tolist() == pytest.approx([(2 + 0.5) / (5 + 1), (1 + 0.5) / (3 + 1)])


def test_rare_and_sure_events_lose_no_digits() -> None:
    head = hazard(ends_of((1, 1), (2, 1)), [1.0])
    surviving, failing = head.hazards(torch.tensor([[-25.0], [4.0]], dtype=torch.float64))
    assert failing.tolist() == [[pytest.approx(25.0, rel=1e-9)], [pytest.approx(math.exp(-math.exp(4)))]]
    assert surviving[1].item() == pytest.approx(math.exp(4))


def test_log_cosh_is_that_of_the_error_near_and_far() -> None:
    load_plugin(PLUGINS / "log_cosh.py")
    head_class = heads.component_class("log_cosh")
    head = head_class(head_class.Spec(columns=["y"], start=[0.0]), 1)
    parameters = torch.tensor([[0.3], [-0.3], [800.0]], dtype=torch.float64)
    loss = head.loss(parameters, Target(torch.arange(3), torch.zeros(3, 1)))[:, 0]
    near = math.log(math.cosh(0.3))
    assert loss.tolist() == pytest.approx([near, near, 800 - math.log(2)], rel=1e-12)


def track(fixes: list[tuple[float, float] | None], times: list[float]) -> torch.Tensor:
    config = modalities.parse({"kind": "gps", "table": "t", "time": "time"})
    cls = modalities.component_class("gps")
    training = {"values": np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]], np.float64)}
    modality = modalities.build(config, cls.fit(config, stored(cls.reading(config), [training]))).double()
    steps = torch.arange(len(times))
    starts = torch.tensor([0, len(times)])
    time = torch.tensor(times, dtype=torch.float64)
    timeline = Timeline(starts, time, time.diff(prepend=time[:1]).float())
    events = modality.parse(steps, [{} if fix is None else list(fix) for fix in fixes])
    ready, _ = modality(events, timeline)
    return torch.cat([ready.values, ready.observed.double()], 1)


def test_a_track_north_then_still_then_lost() -> None:
    """One spread a degree, a typical step of 0.7: three degrees north in 0.7 is a speed of 3."""
    rows = track([(1, 1), (4, 1), (4, 1), None], [0.0, 0.7, 1.4, 2.1])
    assert rows[0, :5].tolist() == [0, 0, 0, 0, 0] and rows[0, 5:].tolist() == [1, 1, 0, 0, 0]
    assert rows[1, :5].tolist() == pytest.approx([3, 0, math.log(4), 1, 0])
    assert rows[2, :5].tolist() == pytest.approx([3, 0, 0, 0, 0]) and bool(rows[2, 5:].all())
    assert rows[3, :5].tolist() == pytest.approx([3, 0, 0, 0, 0]) and not rows[3, 5:].any()


def test_a_track_goes_the_short_way_round() -> None:
    rows = track([(60, 179.5), (60, -179.5)], [0.0, 0.7])
    # A degree of longitude at 60° north is half of one at the equator; it goes east.
    assert rows[1, 2:5].tolist() == pytest.approx([math.log(1.5), 0, 1])
