"""The contract of a modality."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmseq.batch import Events, Timeline
from mmseq.encoders import encoders
from mmseq.errors import DataError
from mmseq.heads import heads
from mmseq.modalities import ModalityConfig, modalities
from mmseq.state import State, flatten, map_state
from mmseq.testing.build import chunks, take_samples
from mmseq.testing.compare import finite, gradients, require, require_close, require_same
from mmseq.testing.events import NEW, WORDS, take_events, take_events_at, tensors_of
from mmseq.testing.modality_trial import ModalityTrial, Part


def check_modality(config: ModalityConfig, *, seed: int = 0) -> None:
    """Checks that a modality keeps what every other part relies on.

    Args:
        config: what it is built from; its columns are made up, as `mmseq.testing.events.example_config`
            does it.
        seed: of the cells that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    rules: Sequence[Callable[[ModalityTrial], None]] = (
        _check_config,
        _check_events,
        _check_outputs,
        _check_empty,
        _check_gradients,
        _check_specification,
        _check_fit,
        _check_nothing_to_fit,
        _check_batch,
        _check_future,
        _check_chunks,
        _check_rows,
        _check_resume,
        _check_next_event,
    )
    for rule in rules:
        rule(ModalityTrial(config, seed))


def _check_config(trial: ModalityTrial) -> None:
    again = modalities.parse(json.loads(trial.config.model_dump_json()))
    rule, remedy = "a config goes through JSON unchanged", "use field types that pydantic reads back"
    require(again == trial.config, trial.modality, rule, f"{again} came back", remedy)
    kind = trial.modality.default_encoder
    reads = encoders.component_class(kind).reads
    good = isinstance(trial.events, trial.modality.gives) and issubclass(trial.modality.gives, reads)
    came = f"{type(trial.events).__name__} came, {trial.modality.gives.__name__} is declared"
    came += f", and {kind!r} reads {reads.__name__}"
    rule = "its events are of the declared type, and its default encoder reads them"
    require(good, trial.modality, rule, came, "set `gives` and `default_encoder` to what fits")


def _check_specification(trial: ModalityTrial) -> None:
    again = trial.reread(trial.spec)
    rule, remedy = "a spec goes through JSON unchanged", "keep plain numbers, text and lists in it"
    require(again == trial.spec, trial.modality, rule, f"{again} came back", remedy)
    expected = trial.whole()
    trial.modality = trial.build(again)
    rule = "a modality built from the spec alone gives the same"
    remedy = "keep everything that was fitted in the spec, none of it on the class"
    require_same(trial.whole(), expected, trial.modality, rule, remedy)


def _check_fit(trial: ModalityTrial) -> None:
    """The training split's values decide: not how they are chunked, nor what others have."""
    rule, remedy = "fitting does not depend on how the values are chunked", "sum up over chunks"
    parts = trial.fit(trial.cut(trial.training, 7))
    _require_near(trial, parts, trial.spec, rule, remedy)
    rule = "fitting does not see words that the training split lacks"
    remedy = "count the words of the chunks; the store's vocabulary is of all splits"
    good = trial.json(trial.fit([trial.training], (*WORDS, "only in test"))) == trial.json(trial.spec)
    require(good, trial.modality, rule, "another spec came", remedy)
    shifted = {k: v + 1 if v.dtype.kind == "f" else v[:, ::-1] % 3 for k, v in trial.training.items()}
    good = trial.json(trial.fit([shifted])) != trial.json(trial.spec)
    rule, remedy = "fitting reads the chunks", "compute the spec from `stored.chunks()`"
    require(good, trial.modality, rule, "other values gave the same spec", remedy)


def _require_near(trial: ModalityTrial, spec: Any, expected: Any, rule: str, remedy: str) -> None:
    numbers, words = _leaves(json.loads(trial.json(spec)))
    expected_numbers, expected_words = _leaves(json.loads(trial.json(expected)))
    good = words == expected_words and len(numbers) == len(expected_numbers)
    require(good, trial.modality, rule, "another spec came", remedy)
    actual = torch.tensor(numbers, dtype=torch.float64)
    expected_values = torch.tensor(expected_numbers, dtype=torch.float64)
    require_close(actual, expected_values, trial.modality, rule, remedy)


def _leaves(tree: Any) -> tuple[list[float], list[str]]:
    """The numbers and the other leaves of a JSON tree, in order."""
    if isinstance(tree, dict | list):
        parts = [_leaves(value) for value in (tree.values() if isinstance(tree, dict) else tree)]
        return [n for numbers, _ in parts for n in numbers], [w for _, words in parts for w in words]
    is_number = isinstance(tree, int | float) and not isinstance(tree, bool)
    return ([float(tree)], []) if is_number else ([], [str(tree)])


def _check_nothing_to_fit(trial: ModalityTrial) -> None:
    none = {name: value[:0] for name, value in trial.training.items()}
    try:
        trial.fit([none])
    except DataError as error:
        came, good = f"the message {str(error)!r}", trial.config.table in str(error)
    except Exception as error:
        came, good = f"{type(error).__name__}: {error}", False
    else:
        came, good = "a spec came", False
    rule = "a training split without any event is a DataError that names the table"
    require(good, trial.modality, rule, came, "check `stored.n_events` first")
    empty = {k: np.full_like(v, np.nan if v.dtype.kind == "f" else -1) for k, v in trial.training.items()}
    rule, remedy = "a column without any value gives finite numbers", "divide by nothing that can be 0"
    trial.modality = trial.build(trial.reread(trial.fit([empty])))
    trial.events = trial.make(trial.step, trial.arrays)
    require(finite(trial.whole()), trial.modality, rule, "inf or NaN came", remedy)


def _check_events(trial: ModalityTrial) -> None:
    good = torch.equal(trial.events.step, trial.step)
    rule, remedy = "events stand at the steps that were given", "pass `step` on"
    require(good, trial.modality, rule, f"{trial.events.step.tolist()[:9]}… came", remedy)
    if not trial.reading.codes:
        return
    code = trial.arrays["code"]
    new = (code == len(WORDS)).sum(0)
    counts = trial.modality.unknown(trial.events)
    good = all(counts.get(c, 0) >= n for c, n in zip(trial.reading.codes, new, strict=True))
    rule, remedy = "codes that the training split never had are counted", "count them in `unknown`"
    require(good, trial.modality, rule, f"{counts} came for {new.tolist()}", remedy)
    other = {**trial.arrays, "code": np.where(code < 0, -1, len(WORDS) - code).astype(np.int32)}
    moved = trial.make(trial.step, other, (NEW, *reversed(WORDS)))
    for name, value in tensors_of(moved).items():
        good = torch.equal(value, tensors_of(trial.events)[name])
        rule, remedy = "codes are told apart by their words, not by a store's numbers", "map the words"
        require(good, trial.modality, rule, f"another order of the words changed `{name}`", remedy)


def _check_outputs(trial: ModalityTrial) -> None:
    given = {name: value.clone() for name, value in tensors_of(trial.events).items()}
    with torch.no_grad():
        ready, state = trial.modality(trial.events, trial.timeline)
        rough, _ = trial.build(trial.spec).float()(trial.events, trial.timeline)
    good = isinstance(ready, trial.modality.gives) and torch.equal(ready.step, trial.events.step)
    rule, remedy = "one event comes out for each that went in, at its step", "fill values, not events"
    require(good, trial.modality, rule, f"{len(ready)} came for {len(trial.events)}", remedy)
    for events, dtype in ((ready, torch.float64), (rough, torch.float32)):
        for name, value in tensors_of(events).items():
            good = not value.is_floating_point() or value.dtype == dtype
            rule = f"numbers come out in the model's dtype, {dtype}"
            require(good, trial.modality, rule, f"`{name}` is {value.dtype}", "cast to that of `self.like`")
    good = finite({name: value.double() for name, value in tensors_of(ready).items()})
    rule, remedy = "what comes out is finite, also where all is missing", "fill what is missing"
    require(good, trial.modality, rule, "inf or NaN came", remedy)
    good = all(torch.equal(value, given[name]) for name, value in tensors_of(trial.events).items())
    require(good, trial.modality, "raw events are left as they are", "they changed", "work on a copy")
    _check_first_axis(trial, state)


def _check_first_axis(trial: ModalityTrial, state: State) -> None:
    for name, value in flatten(state).items():
        good = value.ndim > 0 and len(value) == trial.timeline.n_samples
        came = f"{name} has shape {tuple(value.shape)} for {trial.timeline.n_samples} samples"
        rule = "the first axis of every state tensor is the sample"
        require(good, trial.modality, rule, came, "put the sample first")


def _check_empty(trial: ModalityTrial) -> None:
    """No samples; samples without steps; steps without events: as many events come out, none."""
    none = torch.zeros(0, dtype=torch.int64)
    parts = [take_samples(trial.timeline, []), take_samples(trial.timeline, [1, 6])]
    for timeline in (*(part for part, _ in parts), trial.timeline):
        for continues in (False, True):
            events = take_events(trial.events, none)
            ready, _ = trial.run(events, replace(timeline, continues=continues))
            good = all(len(value) == 0 for value in ready.values())
            rule, remedy = "no events give no events", "let sizes follow from the inputs"
            require(good, trial.modality, rule, f"{ {k: len(v) for k, v in ready.items()} } came", remedy)


def _check_gradients(trial: ModalityTrial) -> None:
    """Of what it learns: always there, zero where nothing depends on it, and the same in chunks."""
    if not any(parameter.requires_grad for parameter in trial.modality.parameters()):
        return
    alone, there = take_samples(replace(trial.timeline, continues=False), range(trial.timeline.n_samples))
    full = {k: np.where(np.isnan(v), 1, v) if v.dtype.kind == "f" else v for k, v in trial.arrays.items()}
    _gradients(trial, trial.make(trial.step, full), [(alone, there)])
    nothing = take_events(trial.events, torch.zeros(0, dtype=torch.int64))
    for name, grad in _gradients(trial, nothing, [(alone, there)]).items():
        good, came = not bool(grad.any()), f"{name} has some"
        require(good, trial.modality, "no events, no gradient", came, "let values follow from events")
    expected = _gradients(trial, trial.events, [(alone, there)])
    rule, remedy = "gradients are finite", "bound what is learned"
    require(finite(expected), trial.modality, rule, "inf or NaN came", remedy)
    for name, grad in expected.items():
        rule, remedy = "every parameter matters", "drop the parameter, or use it"
        require(bool(grad.any()), trial.modality, rule, f"the gradient of {name} is zero", remedy)
    if not trial.static:
        rule = "chunks, the state carried on, give the gradients of the whole"
        found = _gradients(trial, trial.events, [(part, there) for part, there, _ in _in_chunks(trial, 4)])
        require_same(found, expected, trial.modality, rule, "keep no weights in the state")


def _gradients(
    trial: ModalityTrial, events: Events, parts: Sequence[tuple[Timeline, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Of a fixed loss of everything that comes out, over parts of a batch; each must be there."""
    total, state = torch.zeros((), dtype=torch.float64), None
    for timeline, where in parts:
        some, rows = (events, torch.arange(len(events))) if trial.static else take_events_at(events, where)
        ready, state = trial.modality(some, timeline, state)
        for value in tensors_of(ready).values():
            if value.requires_grad:
                weight = torch.sin(1.0 + rows).double().view(-1, *[1] * (value.ndim - 1))
                total = total + (value * weight).sum()
    if total.requires_grad:
        total.backward()
    return gradients(trial.modality)


def _check_batch(trial: ModalityTrial) -> None:
    """Alone, in a batch, in another order; with a state to go on from or without: the same."""
    expected = trial.whole()
    n = trial.timeline.n_samples
    order = torch.randperm(n, generator=trial.generator).tolist()
    ways = {"alone": [[i] for i in range(n)], "in another order": [order]}
    for how, groups in ways.items():
        for continues in (True, False):
            whole = replace(trial.timeline, continues=continues)
            parts = [(*take_samples(whole, group), torch.tensor(group)) for group in groups]
            rule = f"a sample {how} gives what it gives in a batch"
            remedy = "let no sample's numbers depend on other samples of the batch, nor on its place in it"
            found, _ = trial.carry(parts, keep=False)
            require_same(found, expected, trial.modality, rule, remedy)


def _check_future(trial: ModalityTrial) -> None:
    """Other values at later steps leave the events before them as they were, to the last bit."""
    if trial.static:
        return
    before = trial.whole()
    place = torch.arange(trial.timeline.n_steps) - trial.timeline.starts[trial.timeline.sample]
    halfway = (trial.timeline.lengths // 2)[trial.timeline.sample]
    late = (place >= halfway)[trial.step].numpy()
    n_late = int(late.sum())
    changed = {name: value.copy() for name, value in trial.arrays.items()}
    for name, value in trial.arrays.items():
        changed[name][late] = np.roll(value[late], n_late // 2, axis=0)
    after, _ = trial.run(trial.make(trial.step, changed), trial.timeline)
    good = all(torch.equal(after[name][~late], value[~late]) for name, value in before.items())
    rule, remedy = "an event depends on no later step", "fill from earlier events only"
    require(good, trial.modality, rule, "other values later changed it", remedy)


def _in_chunks(trial: ModalityTrial, size: int) -> list[Part]:
    samples = torch.arange(trial.timeline.n_samples)
    return [(timeline, where, samples) for timeline, where in chunks(trial.timeline, size)]


def _check_chunks(trial: ModalityTrial) -> None:
    """Whole, in chunks, one step at a time: the same events and final state."""
    if trial.static:
        return
    expected, end = trial.run(trial.events, trial.timeline)
    remedy = "return everything that later events depend on in the state, and start from it"
    for size in (7, 4, 1):
        found, state = trial.carry(_in_chunks(trial, size), keep=True)
        rule = f"chunks of {size} steps, the state carried on, give what the whole gives"
        require_same(found, expected, trial.modality, rule, remedy)
        require_same(_known(state), _known(end), trial.modality, f"{rule} (final state)", remedy)


def _known(state: State) -> dict[str, torch.Tensor]:
    """A state's tensors, NaN (there is none yet) as a number."""
    return {name: value.double().nan_to_num(-1e9) for name, value in flatten(state).items()}


def _check_rows(trial: ModalityTrial) -> None:
    """Rows of a state can be taken, reordered, and left without a step."""
    if trial.static:
        return
    expected = trial.whole()
    (first, there, _), *rest = _in_chunks(trial, 4)
    events, _ = take_events_at(trial.events, there)
    _, state = trial.run(events, first)
    nobody, _ = take_samples(first, [1] * first.n_samples)  # sample 1 has no steps
    _, after = trial.run(take_events(trial.events, there[:0]), nobody, state)
    rule, remedy = "rows without a step keep their state", "write only the rows that have an event"
    require_same(_known(after), _known(state), trial.modality, rule, remedy)
    order = list(reversed(range(0, first.n_samples, 2)))
    rows = torch.tensor(order)
    state = map_state(lambda part: part[rows], state)
    rule = "a state's rows can be taken and reordered with their samples"
    for timeline, where, _ in rest:
        part, inside = take_samples(timeline, order)
        events, taken = take_events_at(trial.events, where[inside])
        ready, state = trial.run(events, part, state)
        for name in ready.keys() - {"step"}:
            remedy = "keep all memory in the state, one row a sample"
            require_close(ready[name], expected[name][taken], trial.modality, f"{rule} ({name})", remedy)


def _check_resume(trial: ModalityTrial) -> None:
    """A state that is saved and loaded goes on in another process as in this one."""
    if trial.static:
        return
    first, second, *_ = _in_chunks(trial, 5)
    events, _ = take_events_at(trial.events, first[1])
    _, state = trial.run(events, first[0])
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    events, _ = take_events_at(trial.events, second[1])
    expected, _ = trial.run(events, second[0], state)
    trial.modality = trial.build(trial.spec)
    found, _ = trial.run(events, second[0], torch.load(file, weights_only=True))
    rule = "a state that was saved goes on in another process as in this one, to the last bit"
    remedy = "keep memory in the state, as tensors, and let calls leave a state as it was"
    good = all(torch.equal(found[name], value) for name, value in expected.items())
    require(good, trial.modality, rule, "it did not", remedy)


def _check_next_event(trial: ModalityTrial) -> None:
    """Where it has a likelihood: parts that are heads, and one target row a step with events."""
    parts = trial.modality.next_parts()
    if not parts:
        return
    first = np.flatnonzero(np.diff(trial.step.numpy(), prepend=-1))
    merged = trial.modality.next_event(trial.events, first)
    good = len(merged.value) == len(first) and (
        merged.observed is None or merged.observed.shape == merged.value.shape
    )
    rule, remedy = "next_event gives one row a step that has events", "merge the events from each `first` on"
    require(good, trial.modality, rule, f"{merged.value.shape} came for {len(first)} steps", remedy)
    bounds = [part.first for part in parts] + [merged.value.shape[1]]
    good = bounds[0] == 0 and bounds[1:] == [part.last for part in parts]
    rule, remedy = "the parts of the next event divide its columns, in order", "set `first` and `last` so"
    require(good, trial.modality, rule, f"{[(p.first, p.last) for p in parts]} came", remedy)
    for part in parts:
        head_class = heads.component_class(part.kind)
        spec = head_class.Spec.model_validate(json.loads(json.dumps(part.spec, allow_nan=False)))
        head_class(spec, 3, **part.options)
    _check_next_rows(trial, first)


def _check_next_rows(trial: ModalityTrial, first: np.ndarray) -> None:
    expected = trial.modality.next_event(trial.events, first)
    ends = np.append(first[1:], len(trial.step))
    for i in range(0, len(first), 5):
        rows = torch.arange(int(first[i]), int(ends[i]))
        alone = trial.modality.next_event(take_events(trial.events, rows), np.zeros(1, np.int64))
        rule, remedy = "a step's target row depends on its own events only", "reduce within the step"
        actual, value = torch.from_numpy(alone.value[0]), torch.from_numpy(expected.value[i])
        if expected.observed is not None and alone.observed is not None:
            seen = torch.from_numpy(expected.observed[i])
            good = torch.equal(torch.from_numpy(alone.observed[0]), seen)
            require(good, trial.modality, rule, "another mask came", remedy)
            actual, value = actual[seen], value[seen]
        require_close(actual.double(), value.double(), trial.modality, rule, remedy, 1e-6)
