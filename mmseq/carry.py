"""What is remembered between steps before the core: last values, their times, and their ages.

Everything here is flat and stateful: running a sequence whole or in chunks gives the same numbers.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmseq.batch import CategoryEvents, Timeline
from mmseq.fusions import Seen
from mmseq.state import State, tensors


def go_on(timeline: Timeline, state: State | None) -> tuple[Timeline, State]:
    """The timeline of a call that goes on from earlier ones: its first `delta`s count from their last steps.

    Returns:
        the timeline, and `time` of each sample's last step so far, (sample,), NaN before the first.
    """
    if state is None and not timeline.continues:
        return timeline, {}
    before = timeline.time.new_full((timeline.n_samples,), torch.nan) if state is None else state["time"]
    if timeline.is_one_step:
        delta = (timeline.time - before).nan_to_num_(0.0).to(timeline.delta.dtype)
        return timeline.with_delta(delta), {"time": timeline.time}
    stepped = timeline.lengths > 0
    if state is not None:
        first = timeline.starts[:-1][stepped]
        gap = (timeline.time[first] - before[stepped]).nan_to_num(0.0).to(timeline.delta.dtype)
        timeline = timeline.with_delta(timeline.delta.index_copy(0, first, gap))
    if not timeline.n_steps:
        return timeline, {"time": before}
    return timeline, {"time": torch.where(stepped, timeline.time[timeline.last.clamp(min=0)], before)}


def changes(
    events: CategoryEvents, timeline: Timeline, state: State | None
) -> tuple[Bool[Tensor, "step"], State]:
    """Where the words of a category become others than those of the sample's event before.

    A sample's first event counts as a change. State: `word`, (sample, feature), and `known`, (sample,).

    Raises:
        ValueError: the events do not carry words.
    """
    if events.word is None:
        raise ValueError("changes: the events carry no words; set `identify` on their modality")
    word, sample = events.word, timeline.sample[events.step]
    if state is None:
        state = {
            "word": word.new_zeros(timeline.n_samples, word.shape[1]),
            "known": torch.zeros(timeline.n_samples, dtype=torch.bool, device=word.device),
        }
    before, known = tensors(state)["word"], tensors(state)["known"]
    bounds = torch.searchsorted(events.step, timeline.starts)
    marks = torch.zeros(timeline.n_steps, dtype=torch.bool, device=word.device)
    if not len(events):
        return marks, {**state}
    begins = torch.arange(len(events), device=word.device) == bounds[sample]
    previous = torch.where(begins[:, None], before[sample], word.roll(1, 0))
    changed = (word != previous).any(1) | (begins & ~known[sample])
    marks[events.step[changed]] = True
    some = bounds.diff() > 0
    last = (bounds[1:] - 1).clamp(min=0)
    return marks, {"word": torch.where(some[:, None], word[last], before), "known": known | some}


def since(elapsed: Float[Tensor, "..."], scale: float) -> Float[Tensor, "..."]:
    """Time since an observation → log1p in typical step lengths; -1 where there was none (NaN)."""
    return torch.log1p(elapsed / scale).nan_to_num(-1.0)


def one_each(step: Int64[Tensor, "event"], timeline: Timeline) -> bool:
    """Whether each step has one event, exactly."""
    n = timeline.n_steps
    return step.shape[0] == n and (n <= 1 or bool((step[1:] > step[:-1]).all()))


def latest(
    values: Float[Tensor, "event feature"],
    observed: Bool[Tensor, "event feature"],
    step: Int64[Tensor, "event"],
    timeline: Timeline,
    state: State | None,
) -> tuple[Float[Tensor, "event feature"], Float[Tensor, "event feature"], State]:
    """The last observed value of each feature at each event, and its time.

    Returns:
        values, 0 before the first; times, NaN before the first; and the state after the last event:
        `value` and `time`, (sample, feature) each.
    """
    if state is None:
        state = {
            "value": values.new_zeros(timeline.n_samples, values.shape[1]),
            "time": timeline.time.new_full((timeline.n_samples, values.shape[1]), torch.nan),
        }
    before = tensors(state)
    if timeline.is_one_step and one_each(step, timeline):
        value = torch.where(observed, values, before["value"])
        time = torch.where(observed, timeline.time[:, None], before["time"])
        return value, time, {"value": value, "time": time}
    bounds = torch.searchsorted(step, timeline.starts)
    sample = timeline.sample[step]
    index = torch.arange(len(step), device=step.device)[:, None]
    index = torch.where(observed, index, -1).cummax(0).values if len(step) else index.expand(observed.shape)
    here = index >= bounds[sample][:, None]
    index = index.clamp(min=0)
    time = timeline.time[step]
    value = torch.where(here, values.gather(0, index), before["value"][sample])
    time = torch.where(here, time[index], before["time"][sample])
    return value, time, after_last(value, time, bounds, before)


def earlier(
    value: Float[Tensor, "event feature"],
    time: Float[Tensor, "event feature"],
    step: Int64[Tensor, "event"],
    timeline: Timeline,
    state: State | None,
) -> tuple[Float[Tensor, "event feature"], Float[Tensor, "event feature"]]:
    """What was known just before each event: the last values and times of the sample's event before it.

    Args:
        value: the last values at each event, as `latest` gives them.
        time: their times, likewise.
        step: of the events.
        timeline: of the call.
        state: what `latest` was given.
    """
    if state is None:
        start = {
            "value": value.new_zeros(timeline.n_samples, value.shape[1]),
            "time": time.new_full((timeline.n_samples, time.shape[1]), torch.nan),
        }
    else:
        start = tensors(state)
    sample = timeline.sample[step]
    first = torch.ones_like(step, dtype=torch.bool)
    first[1:] = sample[1:] != sample[:-1]
    known = torch.where(first[:, None], start["value"][sample], value.roll(1, 0))
    return known, torch.where(first[:, None], start["time"][sample], time.roll(1, 0))


def after_last(
    value: Tensor, time: Tensor, bounds: Int64[Tensor, "bound"], before: dict[str, Tensor]
) -> State:
    """Each sample's last row, or its old state where it has none.

    Args:
        value, time: (row, …) and (row,) or (row, …), in order.
        bounds: the first row of each sample, and their number at the end.
        before: the state, `value` and `time` of each sample.
    """
    if not len(value):
        return {**before}
    some = (bounds.diff() > 0).view(-1, *[1] * (value.ndim - 1))
    last = (bounds[1:] - 1).clamp(min=0)
    time_some = some if time.ndim == value.ndim else some.flatten()
    return {
        "value": torch.where(some, value[last], before["value"]),
        "time": torch.where(time_some, time[last], before["time"]),
    }


def align(
    encoded: Float[Tensor, "event width"],
    step: Int64[Tensor, "event"],
    timeline: Timeline,
    scale: float,
    state: State | None,
) -> tuple[Seen, State]:
    """Events of one modality → what is known of it at every step.

    Events that share a step are averaged; a step without one keeps the last average.
    """
    if one_each(step, timeline) and (timeline.is_one_step or (state is None and not timeline.continues)):
        # As for a modality that makes all steps: nothing is remembered from before.
        after = {"value": encoded, "time": timeline.time} if timeline.continues else {}
        return Seen.now(encoded, timeline), after
    value, at = _mean_by_step(encoded, step)
    if state is None:
        state = {
            "value": value.new_zeros(timeline.n_samples, value.shape[1]),
            "time": timeline.time.new_full((timeline.n_samples,), torch.nan),
        }
    before = tensors(state)
    present = torch.zeros(timeline.n_steps, dtype=torch.bool, device=step.device)
    present[at] = True
    index = present.cumsum(0) - 1  # the last event before or at each step, anywhere in the batch
    first = torch.searchsorted(at, timeline.starts)[timeline.sample]
    # Rows of what each step knows: an average of this call, or what its sample knew before.
    row = torch.where(index >= first, index, len(at) + timeline.sample)
    known = torch.cat([value, before["value"]]).index_select(0, row)
    time = torch.cat([timeline.time[at], before["time"]]).index_select(0, row)
    age = since(timeline.time - time, scale).to(value.dtype)
    return Seen(known, present, age), after_last(known, time, timeline.starts, before)


def _mean_by_step(
    encoded: Float[Tensor, "event width"], step: Int64[Tensor, "event"]
) -> tuple[Float[Tensor, "present width"], Int64[Tensor, "present"]]:
    at, row, count = torch.unique_consecutive(step, return_inverse=True, return_counts=True)
    if len(at) == len(step):
        return encoded, step
    total = encoded.new_zeros(len(at), encoded.shape[1]).index_add(0, row, encoded)
    return total / count[:, None], at


def align_static(
    encoded: Float[Tensor, "event width"],
    sample: Int64[Tensor, "event"],
    timeline: Timeline,
    state: State | None,
) -> tuple[Seen, State]:
    """One vector a sample, seen at every step; what came with an earlier call stays known."""
    if state is None:
        value = encoded.new_zeros(timeline.n_samples, encoded.shape[1])
        known = torch.zeros(timeline.n_samples, dtype=torch.bool, device=sample.device)
    else:
        value, known = tensors(state)["value"], tensors(state)["known"]
    value = value.index_copy(0, sample, encoded)
    known = known.index_fill(0, sample, True)
    present = known[timeline.sample]
    seen = Seen(value.index_select(0, timeline.sample), present, present.to(encoded.dtype) - 1)
    return seen, {"value": value, "known": known}


def drop(seen: Seen, dropped: Bool[Tensor, "sample"], timeline: Timeline) -> Seen:
    """The modality as never observed, at every step of the samples that drop it."""
    keep = ~dropped[timeline.sample]
    return Seen(
        seen.values * keep[:, None],
        seen.present & keep,
        torch.where(keep, seen.age, torch.full_like(seen.age, -1)),
    )


def clock(timeline: Timeline, scale: float, dtype: torch.dtype) -> Float[Tensor, "step 2"]:
    """Time since the previous step and since the origin, log1p in typical step lengths."""
    elapsed = torch.stack([timeline.delta, timeline.time], 1) / scale
    return elapsed.abs().log1p_().copysign_(elapsed).to(dtype)
