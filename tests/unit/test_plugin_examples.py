"""What the worked examples compute, against what a hand or a textbook has."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target, Timeline
from mmseq.errors import DataError
from mmseq.heads import Labels, heads
from mmseq.modalities import modalities
from mmseq.plugin import load_plugin
from mmseq.testing.events import stored

PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.fixture(autouse=True)
def plugins() -> None:
    load_plugin(PLUGINS / "hazard.py")
    load_plugin(PLUGINS / "gps.py")


def ends_of(*rows: tuple[float, float]) -> Labels:
    return Labels(("duration", "event"), np.array(rows, np.float64), np.zeros(0, np.int32), task="t")


def hazard(labels: Labels, **options: Any) -> Any:
    config = heads.parse({"kind": "hazard", "table": "t", **options})
    return heads.build(config, heads.component_class("hazard").fit(config, labels), 2).double()


def test_the_likelihood_is_that_of_the_intervals() -> None:
    """An event in the second interval: it survived the first. Lost in the third: it survived two."""
    head = hazard(ends_of((1, 1), (2, 1), (3, 1)), times=[1.0, 2.0, 3.0])
    encoded = head.encode(ends_of((1.5, 1), (2.5, 0), (9, 1), (0.5, 0), (math.nan, 1)))
    assert encoded.row.tolist() == [0, 1, 2]  # lost before the first end, or without a time, tells nothing
    target = Target(torch.arange(3), torch.tensor(encoded.value), torch.tensor(encoded.observed))
    h = torch.tensor([0.2, 0.5, 0.6], dtype=torch.float64)
    loss = head.loss_sum(h.logit().expand(3, 3), target)
    left = (1 - h).cumprod(0)
    expected = -(left[0] * h[1]).log() - left[1].log() - left[2].log()
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)
    told = head.decode(h.logit()[None])
    assert list(told) == ["1.0", "2.0", "3.0"]
    np.testing.assert_allclose([told[name][0] for name in told], left.numpy(), rtol=1e-12)


def test_the_baseline_is_the_life_table() -> None:
    """Of those who came to an interval, the share for whom the event came in it; one yes and no more."""
    labels = ends_of((1, 1), (1, 1), (2, 1), (3, 0), (2, 0))
    head = hazard(labels, times=[1.0, 2.0])
    encoded = head.encode(labels)
    told = head.baseline(Target(torch.arange(1), torch.zeros(1, 2))).sigmoid()[0].tolist()
    assert encoded.observed.sum(0).tolist() == [5, 3]
    assert told == pytest.approx([(2 + 1) / (5 + 2), (1 + 1) / (3 + 2)])


def test_ends_are_fitted_to_event_times() -> None:
    rows = [(float(t), 1.0) for t in range(1, 101)] + [(1e6, 0.0)] * 50
    head = hazard(ends_of(*rows), n_times=4)
    assert [float(end) for end in head.spec.columns] == pytest.approx([25.75, 50.5, 75.25, 100])


@pytest.mark.parametrize("row", [(-1.0, 1.0), (math.inf, 2.0), (2.0, 0.5)])
def test_what_is_no_time_or_no_event_is_refused(row: tuple[float, float]) -> None:
    with pytest.raises(DataError, match="needs times from 0 on, and 0 or 1 for events"):
        hazard(ends_of((1.0, 1.0), row))


def test_who_was_lost_within_an_interval_is_no_pair_with_its_events() -> None:
    labels = ends_of((0.5, 1), (1.5, 1), (1.2, 0), (2.5, 0))
    head = hazard(labels, times=[1.0, 2.0])
    encoded = head.encode(labels)
    target = Target(torch.arange(4), torch.tensor(encoded.value), torch.tensor(encoded.observed))
    risks = torch.tensor([[2.0], [0.0], [1.0], [-1.0]], dtype=torch.float64).expand(4, 2)
    metrics = head.metrics()
    head.score(metrics, risks, target)
    # Of (0, 1), (0, 2), (0, 3) and (1, 3) all are right; of (1, 2) nobody knows.
    assert float(metrics["c_index"].compute()) == 1


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
