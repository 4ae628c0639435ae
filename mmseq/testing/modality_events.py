"""What a modality makes of its rows: raw events, ready ones, and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmseq.batch import Events, Timeline
from mmseq.state import State, flatten
from mmseq.testing.build import take_samples
from mmseq.testing.compare import finite, gradients, require, require_same
from mmseq.testing.contract import Check, Contract, DoesNotApply
from mmseq.testing.events import NEW, WORDS, columns_of, take_events, take_events_at, tensors_of
from mmseq.testing.modality_trial import ModalityTrial


def _check_events(trial: ModalityTrial) -> None:
    good = torch.equal(trial.events.step, trial.step)
    rule, remedy = "events stand at the steps that were given", "pass `step` on"
    require(good, trial.modality, rule, f"{trial.events.step.tolist()[:9]}… came", remedy)


def _check_words(trial: ModalityTrial) -> None:
    if not trial.reading.codes:
        raise DoesNotApply("it reads no codes")
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


def _check_shapes(trial: ModalityTrial) -> None:
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
    _check_first_axis(trial, state)


def _check_finite(trial: ModalityTrial) -> None:
    with torch.no_grad():
        ready, _ = trial.modality(trial.events, trial.timeline)
    good = finite({name: value.double() for name, value in tensors_of(ready).items()})
    rule, remedy = "what comes out is finite, also where all is missing", "fill what is missing"
    require(good, trial.modality, rule, "inf or NaN came", remedy)


def _check_inputs(trial: ModalityTrial) -> None:
    given = {name: value.clone() for name, value in tensors_of(trial.events).items()}
    trial.whole()
    good = all(torch.equal(value, given[name]) for name, value in tensors_of(trial.events).items())
    require(good, trial.modality, "raw events are left as they are", "they changed", "work on a copy")


def _check_repeatable(trial: ModalityTrial) -> None:
    first, again = trial.whole(), trial.whole()
    good = all(torch.equal(again[name], value) for name, value in first.items())
    rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
    require(good, trial.modality, rule, "they differ", remedy)


def _check_parse(trial: ModalityTrial) -> None:
    """A program's values, by column, give the events that the same cells of a store give."""
    parsed = tensors_of(trial.modality.parse(trial.step, _values(trial)))
    for name, value in tensors_of(trial.events).items():
        rule = "raw values are parsed to what a store gives"
        good = name in parsed and torch.equal(parsed[name].to(value.dtype), value)
        require(good, trial.modality, rule, f"`{name}` is another", "make `parse` and `events` agree")


def _values(trial: ModalityTrial) -> list[dict[str, Any]]:
    """The trial's rows as a program has them, by column; None where a cell is missing."""
    reading, arrays = trial.reading, trial.arrays
    if reading.payload is not None:
        is_text = reading.payload.shape is None and reading.payload.dtype == "uint8"
        return [
            {reading.payload.column: bytes(row).decode() if is_text else row} for row in arrays["payload"]
        ]
    rows: list[dict[str, Any]] = [{} for _ in trial.step]
    for i, column in enumerate(reading.codes):
        for row, code in zip(rows, arrays["code"][:, i].tolist(), strict=True):
            row[column] = None if code < 0 else (*WORDS, NEW)[code]
    for i, column in enumerate(columns_of(reading) if "values" in arrays else ()):
        for row, value in zip(rows, arrays["values"][:, i].tolist(), strict=True):
            row[column] = None if value != value else value
    return rows


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
        raise DoesNotApply("it has no parameter to train")
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
        found = _gradients(trial, trial.events, [(part, there) for part, there, _ in trial.chunks(4)])
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


CHECKS: Contract[ModalityTrial] = (
    Check("events", "events stand at the steps that were given", _check_events),
    Check("words", "codes are told apart by their words, and unknown ones are counted", _check_words),
    Check("parse", "a program's values are parsed to what a store gives", _check_parse),
    Check("shapes", "one event comes out for each that went in, in the model's dtype", _check_shapes),
    Check("finite", "what comes out is finite, also where all is missing", _check_finite),
    Check("inputs", "leaves raw events as they are", _check_inputs),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("empty", "no samples, steps or events give no events", _check_empty),
    Check("gradients", "what it learns gets a finite gradient, the same in chunks", _check_gradients),
)
