"""The least and the greatest value so far, against a loop."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.batch import NumericEvents, Timeline
from mmseq.modalities import Stored
from mmseq.modalities.extremes import extremes
from mmseq.modalities.numeric import NumericConfig, NumericModality, NumericSpec
from mmseq.state import State
from mmseq.testing.build import chunks, random_timeline
from mmseq.testing.events import random_steps, take_events_at

LENGTHS = (5, 0, 1, 9, 3, 0, 17)


def ragged(seed: int = 0, repeats: int = 3, share: float = 0.7) -> tuple[NumericEvents, Timeline]:
    """Up to so many events a step, few values so that many are equal, half of the cells missing."""
    generator = torch.Generator().manual_seed(seed)
    timeline = random_timeline(LENGTHS, generator, continues=True)
    step = random_steps(timeline.n_steps, generator, repeats=repeats, share=share)
    values = torch.randint(-3, 4, (len(step), 2), generator=generator).double()
    observed = torch.rand(len(step), 2, generator=generator) < 0.5
    return NumericEvents(step, torch.where(observed, values, torch.nan), observed), timeline


def by_loop(events: NumericEvents, timeline: Timeline) -> tuple[Tensor, Tensor]:
    """Of each event, the least and greatest values up to its step, and the latest times of each."""
    cells: dict[int, list[tuple[int, Tensor, Tensor]]] = defaultdict(list)
    sample = timeline.sample[events.step].tolist()
    for event, member in enumerate(sample):
        cells[member].append((int(events.step[event]), events.values[event], events.observed[event]))
    values, times = np.zeros((len(events), 4)), np.full((len(events), 4), np.nan)
    for event, member in enumerate(sample):
        for column in range(4):
            feature, best = column % 2, min if column < 2 else max
            known = [
                (float(v[feature]), float(timeline.time[step]))
                for step, v, seen in cells[member]
                if step <= events.step[event] and seen[feature]
            ]
            if known:
                values[event, column] = best(value for value, _ in known)
                times[event, column] = max(t for value, t in known if value == values[event, column])
    return torch.from_numpy(values), torch.from_numpy(times)


@pytest.mark.parametrize(("repeats", "share"), [(3, 0.7), (1, 1.0)])
def test_are_what_a_loop_finds(repeats: int, share: float) -> None:
    """Caught: extremes of the event alone, of all steps, of the sample before; the first of equal times."""
    for seed in range(5):
        events, timeline = ragged(seed, repeats, share)
        expected = by_loop(events, timeline)
        found = extremes(events.values, events.observed, events.step, timeline, None)
        for actual, value in zip(found[:2], expected, strict=True):
            torch.testing.assert_close(actual, value, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("size", [1, 4])
def test_go_on_from_a_state_to_the_last_bit(size: int) -> None:
    """Caught: a state that samples without an event lose."""
    events, timeline = ragged()
    values, times = by_loop(events, timeline)
    state: State | None = None
    for part, where in chunks(timeline, size):
        some, rows = take_events_at(events, where)
        value, time, state = extremes(some.values, some.observed, some.step, part, state)
        assert torch.equal(value, values[rows])
        torch.testing.assert_close(time, times[rows], rtol=0, atol=0, equal_nan=True)
    assert state is not None
    least, greatest = torch.where(state["value"].isinf(), 0, state["value"]).chunk(2, 1)
    bounds = torch.searchsorted(events.step, timeline.starts)
    some = torch.nonzero(bounds.diff())[:, 0]
    assert torch.equal(torch.cat([least, -greatest], 1)[some], values[bounds[1:][some] - 1])


def fitted(**options: Any) -> NumericModality:
    """Of two columns with training values 0 and 10; a, with 2 and 4, has mean 3 and spread 1."""
    config = NumericConfig.model_validate(
        {"kind": "numeric", "table": "t", "time": "t", "columns": ["a", "b"], "clip": [0, 100]} | options
    )
    chunk = {"values": np.array([[2.0, 0.0], [4.0, 10.0]])}
    stored = Stored(("a", "b"), (), lambda: iter([chunk]), 2, True, 2.0)
    return NumericModality(NumericModality.fit(config, stored), fill=config.fill).double()


def test_an_event_shows_them_after_its_columns() -> None:
    """Clipped, normalised, observed where they are reached, and as old as that is.

    Caught: raw values; the age of the last value in place of the extreme's.
    """
    modality = fitted(extremes=True)
    assert modality.spec.columns == ["a", "b", "least a", "least b", "greatest a", "greatest b"]
    assert modality.read == modality.spec.read == ["a", "b"]
    timeline = Timeline(torch.tensor([0, 2]), torch.tensor([0.0, 6.0]).double(), torch.tensor([0.0, 6.0]))
    raw = torch.tensor([[-50.0, 0.0], [4.0, 0.0], [3.0, 0.0]]).double()
    observed = torch.tensor([[True, False]] * 3)
    ready, _ = modality(NumericEvents(torch.tensor([0, 0, 1]), raw, observed), timeline)
    aged = math.log(1 + 6 / 2)
    assert ready.values[:, [0, 2, 4]].tolist() == [[-1, -1, 1], [1, -1, 1], [0, -1, 1]]
    assert ready.observed[:, [0, 2, 4]].tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert ready.age is not None
    assert ready.age[:, [0, 2, 4]].tolist() == [[0, 0, 0], [0, 0, 0], [0, aged, aged]]
    assert not ready.values[:, [3, 5]].any() and not ready.observed[:, [3, 5]].any()
    assert (ready.age[:, [3, 5]] == -1).all()


def test_what_is_filled_and_predicted_stays_the_columns() -> None:
    """Caught: a next event of six numbers; a decay rate for extremes."""
    plain, wide = fitted(fill="decay"), fitted(fill="decay", extremes=True)
    assert [p.shape for p in wide.parameters()] == [p.shape for p in plain.parameters()]
    assert wide.next_parts() == plain.next_parts()
    events, timeline = ragged()
    expected, found = plain(events, timeline)[0], wide(events, timeline)[0]
    for name in ("values", "observed", "age"):
        assert torch.equal(getattr(found, name)[:, :2], getattr(expected, name))


def test_one_column_is_still_told_by_numbers_alone() -> None:
    """Caught: a list of two numbers taken for one event."""
    modality = fitted(extremes=True)
    spec = modality.spec.model_copy(update={"columns": ["a", "least a", "greatest a"], "read": ["a"]})
    assert NumericModality(spec, fill="last").several([1.0, 2.0]) == [1.0, 2.0]


def test_static_values_have_none() -> None:
    with pytest.raises(ValueError, match="`extremes` needs `time`: a static value has none before it"):
        fitted(extremes=True, time=None)


def test_facts_without_any_are_written_as_ever() -> None:
    """A calibration, or a saved stream, knows its model by a digest of them.

    Caught: `read` beside the same `columns`, with which a bundle from before was told to have other weights.
    """
    plain, wide = fitted().spec, fitted(extremes=True).spec
    assert "read" not in plain.model_dump(mode="json") and "read" not in plain.model_dump_json()
    for spec in (plain, wide):
        assert NumericSpec.model_validate(spec.model_dump(mode="json")) == spec
