"""One core over the segments of another core's steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core
from mmseq.cores.nested import marks_of
from mmseq.cores.rounds import Round, Rounds, plan
from mmseq.state import State, map_state, part

NETWORK = ("lower", "upper", "output", "context")
OPEN = ("count", "opened", "later", "marks")


class SegmentedCore(Core):
    """`lower` over the steps, and `upper` over segments of them; see `HierarchicalCore`.

    State: of the cores `lower` and `upper`; `output` and `context`, what each gave last; and of the open
    segment `count`, its steps so far, `opened` and `marks`, the time and marks of its first, and `later`,
    whether any segment closed before it.

    Args:
        width: size of the inputs.
        lower: takes inputs of that width.
        upper: takes the outputs of `lower`.
        mark: the name in `timeline.marks` of where a segment begins in any case.
        steps: how many steps a segment has at most; None: any number.
    """

    def __init__(self, width: int, lower: Core, upper: Core, *, mark: str, steps: int | None) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper
        self.context = nn.Linear(upper.hidden, width, bias=False)
        self.hidden = lower.hidden
        self.mark, self.steps = mark, steps
        self.marks = tuple(dict.fromkeys([mark, *marks_of([lower, upper])]))

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        if state is None:
            state = self._begin(timeline)
        else:
            self.check_state(state, (*NETWORK, *OPEN), ("lower", "upper", "marks"))
        rounds = plan(timeline, timeline.marks[self.mark], self.steps, state["count"])
        outputs, network = self._run(inputs, timeline, rounds, state)
        if not timeline.continues:
            return outputs, {}
        opened = _open(timeline, rounds, state, rounds.opened)
        return outputs, {**network, **opened, "count": rounds.count}

    def _begin(self, timeline: Timeline) -> State:
        """Before any step: no segment is open. The two cores begin by themselves."""
        like, n = self.context.weight, timeline.n_samples
        nothing = timeline.starts.new_zeros(n)
        return {
            "output": like.new_zeros(n, self.hidden),
            "context": like.new_zeros(n, self.upper.hidden),
            "count": nothing,
            "opened": timeline.time.new_zeros(n),
            "later": nothing.bool(),
            "marks": {name: nothing.bool() for name in self.upper.marks},
        }

    def _run(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, rounds: Rounds, state: State
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """All rounds. Their rows are the first ones of those before: the rest has ended, and is set aside."""
        steps = _steps(timeline, rounds, self.lower.marks)
        units = _units(timeline, rounds, state, self.upper.marks)
        now = {name: state[name] for name in NETWORK if name in state}
        now = map_state(lambda tensor: tensor.index_select(0, rounds.order), now)
        sizes = [sum(this.lengths) for this in rounds.rounds]
        rows, outputs, ended = timeline.n_samples, [], []
        for x, this in zip(inputs.index_select(0, rounds.place).split(sizes), rounds.rounds, strict=True):
            if len(this.lengths) < rows:
                rows = len(this.lengths)
                ended.append(_rows(now, slice(rows, None)))
                now = _rows(now, slice(rows))
            on_graph = now["context"].requires_grad or not torch.is_grad_enabled()
            if this.closing or "upper" not in now or not on_graph:  # else its gradients were none, not zeros
                now |= self._close(this, units, now)
            y, now = self._step(x, steps.take(this.lengths), now)
            outputs.append(y)
        after = _join([now, *reversed(ended)]) if timeline.continues else {}
        after = map_state(lambda tensor: tensor.index_select(0, rounds.rank), after)
        return torch.cat(outputs).index_select(0, rounds.back), after

    def _close(self, this: Round, units: _Feed, now: State) -> State:
        """`upper` takes in the segments that close."""
        lengths = [0] * len(this.lengths)
        for row in this.closing:
            lengths[row] = 1
        closing = units.take(lengths)
        made, upper = self.upper(now["output"].index_select(0, closing.sample), closing, part(now, "upper"))
        context = now["context"].index_copy(0, closing.sample, made.to(now["context"].dtype))
        return {"upper": upper, "context": context}

    def _step(
        self, x: Float[Tensor, "step width"], piece: Timeline, now: State
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """`lower` takes the steps of one round."""
        x = x + self.context(now["context"]).index_select(0, piece.sample)
        y, lower = self.lower(x, piece, part(now, "lower"))
        running = sum(length > 0 for length in piece.lengths_list)  # rows without a step come last
        last = y.index_select(0, piece.last[:running]).to(now["output"].dtype)
        output = torch.cat([last, now["output"][running:]])
        return y, {**now, "lower": lower, "output": output}


class _Feed:
    """Times of steps in the order of the rounds, taken round by round.

    Args:
        timeline: of the call.
        order: the sample of each rank.
        time, delta, marks: of each step in that order.
    """

    def __init__(
        self,
        timeline: Timeline,
        order: Int64[Tensor, "sample"],
        time: Float[Tensor, "step"],
        delta: Float[Tensor, "step"],
        marks: dict[str, Tensor],
    ) -> None:
        noise = timeline.noise
        self.noise = None if noise is None else replace(noise, key=noise.key.index_select(0, order))
        self.time, self.delta, self.marks = time, delta, marks
        self.at = 0

    def take(self, lengths: list[int]) -> Timeline:
        """The next steps, so many a row."""
        here = slice(self.at, self.at + sum(lengths))
        self.at = here.stop
        noise = None if self.noise is None else replace(self.noise, key=self.noise.key[: len(lengths)])
        marks = {name: mark[here] for name, mark in self.marks.items()}
        starts = torch.tensor([0, *lengths]).cumsum(0).to(self.time.device)
        taken = Timeline(starts, self.time[here], self.delta[here], True, noise, marks)
        vars(taken)["lengths_list"] = lengths  # else a device would be waited for to read it
        return taken


def _steps(timeline: Timeline, rounds: Rounds, names: Sequence[str]) -> _Feed:
    """The steps of the call."""
    marks = {name: timeline.marks[name][rounds.place] for name in names}
    return _Feed(timeline, rounds.order, timeline.time[rounds.place], timeline.delta[rounds.place], marks)


def _units(timeline: Timeline, rounds: Rounds, state: State, names: Sequence[str]) -> _Feed:
    """The segments that close, as steps of the level above.

    Each has the time of its closing, the marks of its first step, and as delta the time from there to its
    closing; a sample's first segment has none.
    """
    begun = _open(timeline, rounds, state, rounds.closed)
    time = timeline.time[rounds.closes]
    delta = (time - begun["opened"]).masked_fill(~begun["later"], 0).to(timeline.delta.dtype)
    return _Feed(timeline, rounds.order, time, delta, {name: begun["marks"][name] for name in names})


def _open(
    timeline: Timeline, rounds: Rounds, state: State, where: Int64[Tensor, "segment"]
) -> dict[str, Any]:
    """The parts of the state that tell of segments, by their first steps in steps-then-samples."""
    marks = {
        name: torch.cat([timeline.marks[name], mark])[where]
        for name, mark in (part(state, "marks") or {}).items()
    }
    opened = torch.cat([timeline.time, state["opened"]])[where]
    return {
        "opened": opened,
        "later": torch.cat([rounds.later, state["later"]])[where],
        "marks": marks,
    }


def _rows(state: State, rows: slice) -> State:
    return map_state(lambda tensor: tensor[rows], state)


def _join(states: Sequence[State]) -> State:
    """The rows of all of these, one below another; a part that holds nothing may be left out."""
    joined: State = {}
    for name in dict.fromkeys(name for state in states for name in state):
        values = [state.get(name, {}) for state in states]
        nested = any(isinstance(value, dict) for value in values)
        joined[name] = _join(values) if nested else torch.cat(values)
    return joined
