"""What is remembered between steps, against an oracle in plain Python."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.carry import align, align_static, clock, drop, earlier, latest, since
from mmseq.fusions import Seen
from mmseq.state import State, flatten
from mmseq.testing.build import LENGTHS, chunks, random_timeline
from mmseq.testing.events import random_steps

SCALE = 0.7
SEEDS = range(6)


class Case:
    """Random ragged events of two features, some missing, some sharing a step."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.timeline = random_timeline(LENGTHS, generator, continues=True)
        share = (0.0, 0.1, 0.5, 0.9, 1.0, 0.5)[seed]
        self.step = random_steps(self.timeline.n_steps, generator, repeats=3, share=share)
        self.values = torch.randn(len(self.step), 2, generator=generator, dtype=torch.float64)
        self.observed = torch.rand(len(self.step), 2, generator=generator) < 0.6

    def events_at(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the events at these steps, and their steps counted within them."""
        place = {int(step): i for i, step in enumerate(where)}
        rows = [i for i in sorted(range(len(self.step)), key=lambda i: place.get(int(self.step[i]), -1))
                if int(self.step[i]) in place]  # fmt: skip
        steps = [place[int(self.step[i])] for i in rows]
        return torch.tensor(rows, dtype=torch.int64), torch.tensor(steps, dtype=torch.int64)


@pytest.fixture(params=SEEDS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def samples(timeline: Timeline) -> list[range]:
    starts = timeline.starts.tolist()
    return [range(a, b) for a, b in pairwise(starts)]


def oracle_latest(case: Case) -> tuple[list[list[float]], list[list[float]]]:
    values, times = [], []
    for steps in samples(case.timeline):
        known: list[tuple[float, float]] = [(0.0, math.nan), (0.0, math.nan)]
        for i in range(len(case.step)):
            if int(case.step[i]) not in steps:
                continue
            for f in range(2):
                if case.observed[i, f]:
                    known[f] = float(case.values[i, f]), float(case.timeline.time[case.step[i]])
            values.append([value for value, _ in known])
            times.append([time for _, time in known])
    return values, times


def oracle_align(case: Case) -> tuple[list[list[float]], list[bool], list[float]]:
    values, present, ages = [], [], []
    for steps in samples(case.timeline):
        known, seen_at = [0.0, 0.0], None
        for step in steps:
            now = [case.values[i].tolist() for i in range(len(case.step)) if int(case.step[i]) == step]
            if now:
                known = [sum(column) / len(now) for column in zip(*now, strict=True)]
                seen_at = float(case.timeline.time[step])
            values.append(known)
            present.append(bool(now))
            elapsed = None if seen_at is None else float(case.timeline.time[step]) - seen_at
            ages.append(-1.0 if elapsed is None else math.log1p(elapsed / SCALE))
    return values, present, ages


def table(rows: list[list[float]], width: int = 2) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, width)


def test_latest(case: Case) -> None:
    value, time, _ = latest(case.values, case.observed, case.step, case.timeline, None)
    values, times = oracle_latest(case)
    torch.testing.assert_close(value, table(values), rtol=0, atol=0)
    torch.testing.assert_close(time, table(times), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("size", [40, 6, 2, 1])
def test_earlier_is_the_row_of_the_event_before(case: Case, size: int) -> None:
    values, times = map(table, oracle_latest(case))
    state: State | None = None
    for part, where in chunks(case.timeline, size):
        rows, steps = case.events_at(where)
        value, time, after = latest(case.values[rows], case.observed[rows], steps, part, state)
        was, when = earlier(value, time, steps, part, state)
        for i, row in enumerate(rows.tolist()):
            sample = case.timeline.sample[case.step[row]]
            first = row == 0 or case.timeline.sample[case.step[row - 1]] != sample
            expected = torch.zeros(2).double() if first else values[row - 1]
            assert torch.equal(was[i], expected)
            before = torch.full_like(when[i], torch.nan) if first else times[row - 1]
            torch.testing.assert_close(when[i], before, rtol=0, atol=0, equal_nan=True)
        state = after


@pytest.mark.parametrize("size", [6, 2, 1])
def test_latest_in_chunks(case: Case, size: int) -> None:
    value, time, end = latest(case.values, case.observed, case.step, case.timeline, None)
    state: State | None = None
    for timeline, where in chunks(case.timeline, size):
        rows, step = case.events_at(where)
        own, at, state = latest(case.values[rows], case.observed[rows], step, timeline, state)
        torch.testing.assert_close(own, value[rows], rtol=0, atol=0)
        torch.testing.assert_close(at, time[rows], rtol=0, atol=0, equal_nan=True)
    for name, part in flatten(end).items():
        torch.testing.assert_close(flatten(state or {})[name], part, rtol=0, atol=0, equal_nan=True)


def test_align(case: Case) -> None:
    for timeline in (case.timeline, Timeline(*case_tensors(case))):
        seen, _ = align(case.values, case.step, timeline, SCALE, None)
        values, present, ages = oracle_align(case)
        torch.testing.assert_close(seen.values, table(values), rtol=0, atol=1e-14)
        assert seen.present.tolist() == present
        torch.testing.assert_close(seen.age, torch.tensor(ages, dtype=torch.float64), rtol=0, atol=1e-14)


def case_tensors(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """A timeline that nobody goes on from, which may take a shorter way."""
    return case.timeline.starts, case.timeline.time, case.timeline.delta


@pytest.mark.parametrize("size", [6, 2, 1])
def test_align_in_chunks(case: Case, size: int) -> None:
    whole, end = align(case.values, case.step, case.timeline, SCALE, None)
    state: State | None = None
    for timeline, where in chunks(case.timeline, size):
        rows, step = case.events_at(where)
        seen, state = align(case.values[rows], step, timeline, SCALE, state)
        torch.testing.assert_close(seen.values, whole.values[where], rtol=0, atol=1e-14)
        torch.testing.assert_close(seen.age, whole.age[where], rtol=0, atol=0)
        assert torch.equal(seen.present, whole.present[where])
    for name, part in flatten(end).items():
        torch.testing.assert_close(flatten(state or {})[name], part, rtol=0, atol=1e-14, equal_nan=True)


def test_align_passes_gradients_to_every_event(case: Case) -> None:
    """Also where there is none: an encoder's gradient is then zero, not missing."""
    encoded = case.values.clone().requires_grad_()
    seen, _ = align(encoded, case.step, case.timeline, SCALE, None)
    seen.values.sum().backward()
    assert encoded.grad is not None
    expected = []
    for i in range(len(case.step)):
        step = int(case.step[i])
        sharing = int((case.step == step).sum())
        following = [int(s) for s in case.step if int(s) > step]
        end = next(steps.stop for steps in samples(case.timeline) if step in steps)
        expected.append([(min([end, *following]) - step) / sharing] * 2)
    torch.testing.assert_close(encoded.grad, table(expected), rtol=0, atol=1e-12)


def test_align_static_is_seen_at_every_step_and_stays() -> None:
    timeline = random_timeline((2, 0, 3), torch.Generator().manual_seed(0), continues=True)
    first = torch.tensor([[1.0, 2.0], [5.0, 6.0]])
    seen, state = align_static(first, torch.tensor([0, 1]), timeline, None)
    assert seen.values.tolist() == [[1, 2], [1, 2], [0, 0], [0, 0], [0, 0]]
    assert seen.present.tolist() == [True, True, False, False, False]
    assert seen.age.tolist() == [0, 0, -1, -1, -1]
    later = random_timeline((1, 1, 1), torch.Generator().manual_seed(1), continues=True)
    seen, _ = align_static(torch.tensor([[7.0, 8.0]]), torch.tensor([2]), later, state)
    assert seen.values.tolist() == [[1, 2], [5, 6], [7, 8]]
    assert seen.present.all() and seen.age.tolist() == [0, 0, 0]


def test_what_is_dropped_is_never_seen() -> None:
    timeline = random_timeline((2, 1), torch.Generator().manual_seed(0))
    seen = Seen(torch.ones(3, 2), torch.tensor([True, False, True]), torch.tensor([0.0, 0.5, 0.0]))
    dropped = drop(seen, torch.tensor([True, False]), timeline)
    assert dropped.values.tolist() == [[0, 0], [0, 0], [1, 1]]
    assert dropped.present.tolist() == [False, False, True]
    assert dropped.age.tolist() == [-1, -1, 0]


def test_clock() -> None:
    timeline = Timeline(
        torch.tensor([0, 2, 3]),
        torch.tensor([0.0, 7.0, -2.0], dtype=torch.float64),
        torch.tensor([0.0, 7.0, 0.0]),
    )
    features = clock(timeline, 2.0, torch.float64)
    expected = [[0, 0], [math.log1p(3.5), math.log1p(3.5)], [0, -math.log1p(1.0)]]
    torch.testing.assert_close(features, torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=0)


def test_clock_keeps_small_differences_of_large_times() -> None:
    """A day counted in microseconds: float32 would lose the last digits of the time."""
    time = torch.tensor([8.64e10, 8.64e10 + 1], dtype=torch.float64)
    timeline = Timeline(torch.tensor([0, 2]), time, torch.tensor([0.0, 1.0]))
    assert float(clock(timeline, 1.0, torch.float64)[1, 0]) == pytest.approx(math.log(2))


def test_since() -> None:
    ages = since(torch.tensor([0.0, 1.4, math.nan]), SCALE)
    torch.testing.assert_close(ages, torch.tensor([0.0, math.log(3), -1.0]))
