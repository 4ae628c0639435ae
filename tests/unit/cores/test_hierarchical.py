"""Levels over segments, against one sample and one step at a time, by the rules as they are written."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core, cores
from mmseq.cores.hierarchical import HierarchicalCore
from mmseq.state import State, flatten, unflatten
from mmseq.testing.build import LENGTHS, chunks, random_timeline

WIDTH = 5
Cut = dict[str, Any]

TWO: list[list[Cut]] = [[{"steps": 1}], [{"steps": 3}], [{"gap": 1.0}], [{"marker": "visit"}]]
MORE: list[list[Cut]] = [
    [{"steps": 2}, {"steps": 3}],
    [{"steps": 3}, {"marker": "visit"}],
    [{"marker": "visit"}, {"steps": 2}],
    [{"marker": "visit"}, {"marker": "ward"}],
    [{"gap": 0.5}, {"gap": 1.5}],
    [{"steps": 2}, {"gap": 1.5}, {"steps": 2}],
    [{"marker": "visit"}, {"steps": 2}, {"marker": "ward"}],
]
every_cut = pytest.mark.parametrize("cuts", TWO + MORE, ids=str)


def build(cuts: list[Cut]) -> HierarchicalCore:
    """Levels of different sizes; decay_gru, so that the clock of each level matters."""
    torch.manual_seed(1)
    levels: list[Any] = [{"core": {"kind": "decay_gru", "hidden": 6}}]
    levels += [{"core": {"kind": "decay_gru", "hidden": 4 + i}, "segment": cut} for i, cut in enumerate(cuts)]
    core = cores.build(cores.parse({"kind": "hierarchical", "levels": levels}), WIDTH).double()
    for name, parameter in core.named_parameters():
        if "scale" not in name:
            nn.init.normal_(parameter, std=0.5)
    return core


def ragged(core: Core, *lengths: int, continues: bool = True) -> Timeline:
    generator = torch.Generator().manual_seed(0)
    return random_timeline(lengths, generator, continues=continues, marks=core.marks)


class Plain:
    """One sample, step by step."""

    def __init__(self, core: HierarchicalCore, cuts: list[Cut]) -> None:
        self.cuts, self.n = cuts, len(cuts) + 1
        self.cores: list[Core] = []
        self.feedback: list[nn.Linear] = []
        nested: Any = core.levels
        while hasattr(nested, "upper"):
            self.cores.append(nested.lower)
            self.feedback.append(nested.context)
            nested = nested.upper
        self.cores.append(nested)
        self.state: list[State | None] = [None] * self.n
        self.output: list[Tensor | None] = [None] * self.n
        self.size = [0] * self.n  # steps of the open segment of each level, as units of the level below
        self.begun: list[Any] = [
            None
        ] * self.n  # when that segment began, and which levels' segments did then
        self.closed = [False] * self.n

    def run(
        self, inputs: Tensor, time: list[float], delta: list[float], marks: dict[str, list[bool]]
    ) -> Tensor:
        rows = []
        for t in range(len(inputs)):
            begins = [
                self.begins(level, delta[t], {k: v[t] for k, v in marks.items()}) for level in range(self.n)
            ]
            for level in reversed(range(1, self.n)):  # a session that begins is an utterance that begins
                begins[level - 1] |= begins[level]
            self.arrive(1, time[t], begins)
            rows.append(self.take(0, inputs[t], time[t], delta[t]))
        return torch.stack(rows)

    def begins(self, level: int, delta: float, marks: dict[str, bool]) -> bool:
        cut = self.cuts[level - 1] if level else {}
        return delta > cut["gap"] if "gap" in cut else marks[cut["marker"]] if "marker" in cut else False

    def arrive(self, level: int, time: float, begins: list[bool]) -> None:
        """A unit of the level below `level` comes, which may close that level's open segment of them."""
        if level == self.n:
            return
        full = self.size[level] == self.cuts[level - 1].get("steps")
        if self.size[level] and (begins[level] or full):
            began, begins_then = self.begun[level]
            self.arrive(
                level + 1, time, begins_then
            )  # the segment is itself a unit, and stands where it began
            output = self.output[level - 1]
            assert output is not None
            self.take(level, output, time, time - began if self.closed[level] else 0.0)
            self.closed[level], self.size[level] = True, 0
        if not self.size[level]:
            self.begun[level] = (time, begins)
        self.size[level] += 1

    def take(self, level: int, x: Tensor, time: float, delta: float) -> Tensor:
        """One step of one level."""
        if level + 1 < self.n and self.output[level + 1] is not None:
            x = x + self.feedback[level](self.output[level + 1])
        clock = Timeline(
            torch.tensor([0, 1]),
            torch.tensor([time], dtype=torch.float64),
            torch.tensor([delta], dtype=torch.float32),
            continues=True,
        )
        y, self.state[level] = self.cores[level](x[None], clock, self.state[level])
        self.output[level] = y[0]
        return y[0]


@every_cut
def test_equals_the_rules_step_by_step(cuts: list[Cut]) -> None:
    core = build(cuts)
    timeline = ragged(core, *LENGTHS)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    outputs, _ = core(inputs, timeline)
    starts = timeline.starts.tolist()
    for a, b in ((a, b) for a, b in pairwise(starts) if a < b):
        time, delta = timeline.time[a:b].tolist(), timeline.delta[a:b].tolist()
        marks = {name: mark[a:b].tolist() for name, mark in timeline.marks.items()}
        plain = Plain(core, cuts)
        assert torch.allclose(outputs[a:b], plain.run(inputs[a:b], time, delta, marks), rtol=0, atol=1e-12)


def states(core: HierarchicalCore, inputs: Tensor, timeline: Timeline, sizes: list[int]) -> list[State]:
    """The state after each of some chunks of one sample."""
    found, state, at = [], None, 0
    for size in sizes:
        part = slice(at, at + size)
        clock = Timeline(torch.tensor([0, size]), timeline.time[part], timeline.delta[part], continues=True)
        _, state = core(inputs[part], clock, state)
        found.append(state)
        at += size
    return found


def test_a_segment_closes_when_the_next_begins_and_the_open_one_is_not_seen_above() -> None:
    """With segments of three: level 2 has moved after steps 4 and 7, and not after 1, 2, 3, 5, 6."""
    core = build([{"steps": 3}])
    timeline, inputs = ragged(core, 8), torch.randn(8, WIDTH, dtype=torch.float64)
    upper = [state["upper"]["hidden"] for state in states(core, inputs, timeline, [1] * 8)]
    moved = [not torch.equal(a, b) for a, b in zip([torch.zeros_like(upper[0]), *upper], upper, strict=False)]
    assert moved == [False, False, False, True, False, False, True, False]
    for first, seen in ((6, False), (5, True)):  # steps 7 and 8 make up the open segment
        other = torch.cat([inputs[:first], inputs[first:] + 1])
        after = states(core, other, timeline, [1] * 8)[-1]["upper"]["hidden"]
        assert torch.equal(after, upper[-1]) is not seen


def test_the_first_step_of_a_segment_knows_the_segment_before_from_above() -> None:
    """With level 1 a map without memory, whatever is known of earlier steps came from level 2."""
    torch.manual_seed(0)
    levels = [{"core": {"kind": "mlp"}}, {"core": {"kind": "gru"}, "segment": {"steps": 3}}]
    core = cores.build(cores.parse({"kind": "hierarchical", "levels": levels}), WIDTH).double()
    inputs = torch.randn(8, WIDTH, dtype=torch.float64, requires_grad=True)
    outputs, _ = core(inputs, ragged(core, 8))
    seen = []
    for t in range(8):
        (grad,) = torch.autograd.grad(outputs[t].sum(), inputs, retain_graph=True)
        seen.append(grad.abs().sum(1).nonzero()[:, 0].tolist())
    # level 2 takes in what level 1 gave at a segment's last step
    assert seen == [[0], [1], [2], [2, 3], [2, 4], [2, 5], [2, 5, 6], [2, 5, 7]]


class Spy:
    """The timelines that a core is called with."""

    def __init__(self, core: nn.Module) -> None:
        self.seen: list[Timeline] = []
        core.register_forward_pre_hook(lambda module, given: self.seen.append(given[1]))


def test_the_clock_of_the_second_level() -> None:
    """Its steps are at the closings, and their deltas the times between them; 0 at the first."""
    core = build([{"steps": 2}])
    time = torch.tensor([0, 1, 3, 6, 10, 15, 21], dtype=torch.float64)
    delta = time.diff(prepend=time[:1]).float()
    for size in (7, 3, 1):
        spy, state = Spy(core.levels.upper), None
        for part in torch.arange(7).split(size):
            clock = Timeline(torch.tensor([0, len(part)]), time[part], delta[part], continues=True)
            _, state = core(torch.zeros(len(part), WIDTH, dtype=torch.float64), clock, state)
        assert torch.cat([clock.time for clock in spy.seen]).tolist() == [3, 10, 21]
        assert torch.cat([clock.delta for clock in spy.seen]).tolist() == [0, 7, 11]


def test_marks_of_a_higher_level_end_segments_below() -> None:
    core = build([{"steps": 3}, {"marker": "visit"}])
    mark = torch.tensor([True, False, False, False, False, True, False, False, False, False])
    time = torch.arange(10, dtype=torch.float64)
    timeline = Timeline(torch.tensor([0, 10]), time, torch.ones(10), continues=True, marks={"visit": mark})
    second, third = Spy(core.levels.upper.lower), Spy(core.levels.upper.upper)
    core(torch.zeros(10, WIDTH, dtype=torch.float64), timeline)
    assert torch.cat([clock.time for clock in second.seen]).tolist() == [3, 5, 8]  # 3, 2 and 3 steps
    # the segment of steps 6 to 8 is the first of the new visit, and so the visit before closes with it
    assert torch.cat([clock.time for clock in third.seen]).tolist() == [8]


@every_cut
def test_as_many_calls_as_the_most_segments_of_a_sample(cuts: list[Cut]) -> None:
    core = build(cuts)
    timeline = ragged(core, *LENGTHS, continues=False)
    spy = Spy(core.levels.lower)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        _, state = core(inputs, timeline)
    assert state == {}
    assert len(spy.seen) <= 25  # the longest sample, cut at each step
    if cuts == [{"steps": 3}]:
        assert [clock.n_steps for clock in spy.seen] == [25, 14, 10, 9, 3, 3, 3, 3, 1]


def test_a_chunk_without_a_closing_does_not_call_the_upper_level_in_evaluation() -> None:
    core = build([{"steps": 3}])
    timeline, spy = ragged(core, 8), Spy(core.levels.upper)
    with torch.no_grad():
        states(core, torch.zeros(8, WIDTH, dtype=torch.float64), timeline, [1] * 8)
    assert [clock.n_steps for clock in spy.seen] == [0, 1, 1]  # the first call gives it a state


@pytest.mark.parametrize("cell", ["mlp", "gru"])
def test_a_state_may_lack_parts_that_hold_nothing(cell: str) -> None:
    """As after a round trip by paths: an mlp has no state, nor has a level without marks above it."""
    torch.manual_seed(0)
    config = {"kind": "r3n3", "cell": cell, "hidden": 4, "segments": [{"steps": 2}, {"steps": 2}]}
    core = cores.build(cores.parse(config), WIDTH).double()
    timeline = ragged(core, *LENGTHS)
    inputs, state = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64), None
    expected, _ = core(inputs, timeline)
    for part, where in chunks(timeline, 4):
        outputs, state = core(inputs[where], part, state)
        assert torch.allclose(outputs, expected[where], rtol=0, atol=1e-12)
        state = unflatten(flatten(state))
        assert "marks" not in state["upper"]


def test_missing_marks_are_told() -> None:
    core = build([{"marker": "visit"}, {"marker": "ward"}])
    assert core.marks == ("visit", "ward")
    timeline = ragged(core, 3)
    del timeline.marks["ward"]  # type: ignore[attr-defined]
    with pytest.raises(ValueError) as caught:
        core(torch.zeros(3, WIDTH, dtype=torch.float64), timeline)
    assert str(caught.value) == (
        "HierarchicalCore: the timeline needs marks of visit, ward; it lacks ward; "
        "give it those that Core.marks names, by with_marks"
    )


def test_another_cores_state_is_refused() -> None:
    core = build([{"steps": 2}])
    with pytest.raises(ValueError, match=r"SegmentedCore: a state holds lower, upper, .*; got hidden; pass"):
        core(torch.zeros(3, WIDTH, dtype=torch.float64), ragged(core, 3), {"hidden": torch.zeros(1)})


FIRST: dict[str, Any] = {"core": {"kind": "gru"}}


@pytest.mark.parametrize(
    ("levels", "loc", "message"),
    [
        ([FIRST], ("levels",), "List should have at least 2 items"),
        ([FIRST, FIRST], ("levels",), "level 2 needs a `segment`, such as {steps: 8}; came none; add one"),
        (
            [{"segment": {"steps": 2}}, {"segment": {"steps": 2}}],
            ("levels",),
            "the first level runs over the steps themselves; leave out its `segment`",
        ),
        (
            [FIRST, {"segment": {}}],
            ("levels", 1, "segment"),
            "a segment is cut by exactly one of steps, gap and marker; came none; keep one",
        ),
        (
            [FIRST, {"segment": {"steps": 2, "gap": 1.0}}],
            ("levels", 1, "segment"),
            "a segment is cut by exactly one of steps, gap and marker; came steps, gap; keep one",
        ),
        ([FIRST, {"segment": {"steps": 0}}], ("levels", 1, "segment", "steps"), "greater than 0"),
        (
            [{"core": {"kind": "stack", "core": {"kind": "bidirectional"}}}, {"segment": {"steps": 2}}],
            ("levels", 0, "core"),
            "a level's core looks at no later step; 'stack' does; take a causal core, or put the whole "
            "hierarchy inside a bidirectional one",
        ),
    ],
)
def test_what_levels_may_not_be(levels: list[Any], loc: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        cores.parse({"kind": "hierarchical", "levels": levels})
    (error,) = caught.value.errors()
    assert error["loc"] == loc
    assert message in error["msg"]
