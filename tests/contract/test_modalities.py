"""Every modality keeps the contract, and the contract catches a modality that does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import CategoryEvents, MeasurementEvents, NumericEvents, Timeline
from mmseq.modalities import Modality, NextEvent, Stored, modalities
from mmseq.modalities.category import CategoryModality, CategorySpec
from mmseq.modalities.measured import MeasurementSpec
from mmseq.modalities.measurement import MeasurementModality
from mmseq.modalities.numeric import NumericModality, NumericSpec
from mmseq.state import State
from mmseq.testing import check_kind
from mmseq.testing.events import example_config
from mmseq.testing.modalities import check_modality


@pytest.mark.parametrize("kind", modalities.kinds())
def test_contract(kind: str) -> None:
    check_kind("modalities", kind)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("numeric", {"fill": "mean"}),
    ("numeric", {"fill": "decay"}),
    ("numeric", {"clip": None, "encoder": {"kind": "mlp", "layers": 2}}),
    ("numeric", {"columns": [], "pivot": {"code": "name", "value": "number"}}),
    ("numeric", {"extremes": True}),
    ("numeric", {"extremes": True, "clip": None, "fill": "decay"}),
    ("category", {"min_count": 50}),
    ("category", {"min_count": 1000}),
    ("text", {"tokens": {"kind": "bytes"}, "longest": 3}),
    ("text", {"tokens": {"kind": "characters", "min_count": 50}}),
    ("text", {"tokens": {"kind": "words", "min_count": 1000}}),
    ("text", {"tokens": {"kind": "bpe", "size": 300}}),
    ("measurement", {"text": "c"}),
    ("measurement", {"text": "c", "min_count": 1}),
    ("measurement", {"clip": None}),
    ("measurement", {"min_count": 50}),
    ("measurement", {"min_count": 1000}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_contract_of_options(kind: str, options: dict[str, Any]) -> None:
    check_modality(example_config(kind, **options))


Numbers = tuple[NumericEvents, State]


class LeaksAcrossSamples(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        values = ready.values - ready.values.mean(0) if len(ready) else ready.values
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class FillsFromPreviousRow(NumericModality):
    """The classic: a forward fill that does not stop at the end of a sample."""

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        before = ready.values.roll(1, 0)
        values = torch.where(ready.observed | (ready.age >= 0), ready.values, before)
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class ForgetsState(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        return super().forward(events, timeline, None)


class ResetsIdleRows(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        moved = (timeline.lengths > 0)[:, None]
        return ready, {k: v.nan_to_num() * moved for k, v in after.items() if isinstance(v, Tensor)}


class RemembersOnModule(NumericModality):
    last: State

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        if state is not None and len(state["value"]) == len(self.last["value"]):
            state = self.last
        ready, self.last = super().forward(events, timeline, state)
        return ready, {k: torch.zeros_like(v) for k, v in self.last.items() if isinstance(v, Tensor)}


class LooksAhead(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        sample = timeline.sample[ready.step]
        last = torch.searchsorted(sample, sample, right=True) - 1
        following = torch.arange(1, len(ready) + 1).minimum(last)
        values = ready.values + 1e-9 * ready.values[following]
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class PutsSampleLast(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return ready, {k: v.T for k, v in after.items() if isinstance(v, Tensor)}


class LeavesRawNaN(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        values = torch.where(ready.observed, ready.values, torch.nan)
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class KeepsFloat64(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return NumericEvents(ready.step, ready.values.double(), ready.observed, ready.age), after


class DropsEmptyEvents(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        some = ready.observed.any(1)
        age = None if ready.age is None else ready.age[some]
        return NumericEvents(ready.step[some], ready.values[some], ready.observed[some], age), after


class ChangesRawValues(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        result = super().forward(events, timeline, state)
        events.values.clamp_(max=1)
        return result


class HasIdleParameter(NumericModality):
    def __init__(self, spec: NumericSpec, *, fill: Any) -> None:
        super().__init__(spec, fill=fill)
        self.gain = nn.Parameter(torch.ones(()))


class LearnsOnlyWhereSomeIsMissing(HasIdleParameter):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        gain = torch.ones(()) if bool(ready.observed.all()) else self.gain
        return NumericEvents(ready.step, ready.values * gain, ready.observed, ready.age), after


class HasVainParameter(HasIdleParameter):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return NumericEvents(ready.step, ready.values + 0 * self.gain, ready.observed, ready.age), after


class CentersByLearntGain(HasIdleParameter):
    """The mean of no events has no gradient: 0 / 0."""

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        values = ready.values - self.gain * ready.values.mean()
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class RootOfZero(HasIdleParameter):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        values = (self.gain * ready.values).abs().sqrt()
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class ForgetsOnlyInLearning(HasIdleParameter):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, None if torch.is_grad_enabled() else state)
        return NumericEvents(ready.step, ready.values * self.gain, ready.observed, ready.age), after


class ParsesMissingAsZero(NumericModality):
    def parse(self, step: Tensor, values: Sequence[Any]) -> NumericEvents:
        parsed = super().parse(step, values)
        return NumericEvents(step, parsed.values, torch.ones_like(parsed.observed))


class FitsLastChunk(NumericModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        spec = super().fit(config, stored)
        *_, last = stored.chunks()
        mean = last["values"][:, 0][~(last["values"][:, 0] != last["values"][:, 0])].mean()
        return spec.model_copy(update={"mean": [float(mean), *spec.mean[1:]]})


class KeepsSetInFacts(NumericModality):
    class Spec(NumericSpec):
        extra: Any = frozenset({1})

    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        return cls.Spec(**super().fit(config, stored).model_dump())


class FitsNothing(NumericModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        n = len(stored.columns)
        return NumericSpec(
            columns=list(stored.columns), mean=[0.0] * n, std=[1.0] * n, low=None, high=None,
            missing=[0.0] * n, time_scale=1.0, static=False,
        )  # fmt: skip


class FitsNoSpreadOfNothing(NumericModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        spec = super().fit(config, stored)
        nothing = all(np.isnan(chunk["values"]).all() for chunk in stored.chunks())
        none, zeros = dict.fromkeys(("low", "high")), [0.0] * len(spec.std)
        return spec.model_copy(update={**none, "std": zeros, "missing": zeros}) if nothing else spec


class CountsWhatItSees(NumericModality):
    """In its facts, though nothing is computed of it."""

    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> NumericEvents:
        events = super().events(step, arrays, vocabularies)
        self.spec = self.spec.model_copy(update={"missing": (~events.observed).double().mean(0).tolist()})
        return events


class KeepsFactsOnClass(NumericModality):
    offset = 0.0

    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        KeepsFactsOnClass.offset += 1.0
        return super().fit(config, stored)

    def __init__(self, spec: NumericSpec, *, fill: Any) -> None:
        super().__init__(spec, fill=fill)
        self.own = self.offset
        KeepsFactsOnClass.offset += 1.0

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return NumericEvents(ready.step, ready.values + self.own, ready.observed, ready.age), after


class MergesWithNeighbour(NumericModality):
    def next_event(self, events: NumericEvents, first: Any) -> NextEvent:
        merged = super().next_event(events, first)
        return NextEvent(merged.value + 0.1 * merged.value[::-1], merged.observed)


class SharesColumns(NumericModality):
    def next_parts(self) -> Any:
        return super().next_parts() * 2


class FitsWholeVocabulary(CategoryModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> CategorySpec:
        spec = super().fit(config, stored)
        words = [list(vocabulary) for vocabulary in stored.vocabularies]
        return spec.model_copy(update={"vocabularies": words, "counts": [[1] * len(w) for w in words]})


class FitsBeginningOfLastChunk(CategoryModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> CategorySpec:
        *_, last = stored.chunks()
        some = {name: value[:2] for name, value in last.items()}
        return super().fit(config, replace(stored, chunks=lambda: iter([some])))


class TakesCodesOfStore(CategoryModality):
    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> CategoryEvents:
        code = torch.from_numpy(arrays["code"]).long() + 2
        return CategoryEvents(step, torch.where(code > 6, 1, code.clamp(min=0)))


class HidesUnknown(CategoryModality):
    def unknown(self, events: CategoryEvents) -> dict[str, int]:
        return {}


class FitsRareOfAllSplits(MeasurementModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> MeasurementSpec:
        spec = super().fit(config, stored)
        rare = [word for word in stored.vocabularies[0] if word not in spec.codes]
        return spec.model_copy(update={"rare": rare})


class TakesNewForRare(MeasurementModality):
    """Before anybody could count it."""

    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> MeasurementEvents:
        events = super().events(step, arrays, vocabularies)
        return replace(events, code=events.code.abs())


class ParsesWithoutNumber(MeasurementModality):
    def parse(self, step: Tensor, values: Sequence[Any]) -> MeasurementEvents:
        events = super().parse(step, values)
        return replace(events, observed=torch.zeros_like(events.observed))


class NormalisesOverBatch(MeasurementModality):
    def forward(self, events: Any, timeline: Timeline, state: State | None = None) -> Any:
        ready, after = super().forward(events, timeline, state)
        mean = ready.values.sum() / max(len(ready), 1)
        return replace(ready, values=ready.values - mean), after


class DrawsNoise(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        values = ready.values + 1e-3 * torch.randn_like(ready.values)
        return NumericEvents(ready.step, values, ready.observed, ready.age), after


class GoesOnFitting(NumericModality):
    """A mean of all splits that it comes to see."""

    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> NumericEvents:
        events = super().events(step, arrays, vocabularies)
        if len(events):
            self.mean += 0.01 * (events.values.mean(0) - self.mean)
        return events


class KeepsTimesOnModule(NumericModality):
    """The last values are in the state, their times are not."""

    times: Tensor | None = None

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        if state is not None and self.times is not None and len(self.times) == len(state["value"]):
            state = {**state, "time": self.times}
        ready, after = super().forward(events, timeline, state)
        self.times = after.get("time")
        return ready, {k: torch.full_like(v, torch.nan) if k == "time" else v for k, v in after.items()}


class KeepsTimesByValue(NumericModality):
    """On the module, whatever the order of the samples: another process has none of them."""

    def __init__(self, spec: NumericSpec, *, fill: Any) -> None:
        super().__init__(spec, fill=fill)
        self.times: dict[tuple[float, ...], Tensor] = {}

    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        if state:
            rows = zip(state["value"].tolist(), state["time"], strict=True)
            known = [self.times.get(tuple(value), unknown) for value, unknown in rows]
            state = {**state, "time": torch.stack(known) if known else state["time"]}
        ready, after = super().forward(events, timeline, state)
        self.times |= dict(zip(map(tuple, after["value"].tolist()), after["time"], strict=True))
        return ready, {**after, "time": torch.full_like(after["time"], torch.nan)}


class CountsCalls(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return ready, {**after, "calls": state["calls"] + 1 if state else torch.ones(timeline.n_samples)}


class ForgetsInIdleCalls(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        return super().forward(events, timeline, state if timeline.n_steps else None)


class GivesRowAnEvent(NumericModality):
    def next_event(self, events: NumericEvents, first: Any) -> NextEvent:
        return super().next_event(events, np.arange(len(events)))


class SharesMask(NumericModality):
    def next_event(self, events: NumericEvents, first: Any) -> NextEvent:
        merged = super().next_event(events, first)
        return NextEvent(merged.value, merged.observed | merged.observed[::-1])


class NamesOtherEncoder(NumericModality):
    default_encoder = "embedding"


class NumbersStepsAnew(NumericModality):
    """As if every step had an event."""

    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> NumericEvents:
        return super().events(step.unique(return_inverse=True)[1], arrays, vocabularies)


class AddsEventWhereNoneIs(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        if len(events):
            return super().forward(events, timeline, state)
        none = self.like.new_zeros(1, len(self.spec.columns))
        return NumericEvents(torch.zeros(1, dtype=torch.int64), none, none.bool()), state or {}


class GoesOnFittingLater(GoesOnFitting):
    """Not of the first events that it sees, but of those that come after."""

    n = 0

    def events(self, step: Tensor, arrays: Any, vocabularies: Any) -> NumericEvents:
        self.n += 1
        if self.n > 1:
            return super().events(step, arrays, vocabularies)
        return NumericModality.events(self, step, arrays, vocabularies)


class FitsWithoutEvents(NumericModality):
    @classmethod
    def fit(cls, config: Any, stored: Stored) -> NumericSpec:
        return super().fit(config, stored) if stored.n_events else FitsNothing.fit(config, stored)


class OwnTensor(Tensor):
    """What only a process that knows the class can load."""


class KeepsOwnTensors(NumericModality):
    def forward(self, events: NumericEvents, timeline: Timeline, state: State | None = None) -> Numbers:
        ready, after = super().forward(events, timeline, state)
        return ready, {k: v.as_subclass(OwnTensor) for k, v in after.items() if isinstance(v, Tensor)}


class ForgetsOption(NumericModality):
    def __init__(self, spec: NumericSpec) -> None:
        super().__init__(spec, fill="last")


FAULTS: list[tuple[str, type[Modality], str]] = [
    ("numeric", NamesOtherEncoder, "encoder: its events are of the declared type, and its default encoder"),
    ("numeric", NumbersStepsAnew, "events: events stand at the steps that were given"),
    ("numeric", AddsEventWhereNoneIs, "empty: no events give no events"),
    ("numeric", GoesOnFittingLater, "other splits: other values that it sees change nothing"),
    ("numeric", FitsWithoutEvents, "nothing to fit: a training split without any event is a DataError"),
    ("numeric", KeepsOwnTensors, "saving: what is remembered can be saved and loaded"),
    ("numeric", ForgetsOption, "options: every field of its config is read; nothing reads fill"),
    ("numeric", DrawsNoise, "repeatable: the same call gives the same numbers"),
    ("numeric", GoesOnFitting, "other splits: other values that it sees change nothing|facts: "),
    ("numeric", KeepsTimesOnModule, "rows: a state's rows can be taken and reordered"),
    ("measurement", FitsRareOfAllSplits, "does not see words that the training split lacks"),
    ("measurement", TakesNewForRare, "codes that the training split never had are counted"),
    ("measurement", ParsesWithoutNumber, "parsed to what a store gives"),
    ("measurement", NormalisesOverBatch, "a sample alone gives what it gives in a batch"),
    ("numeric", LeaksAcrossSamples, "a sample alone gives what it gives in a batch"),
    ("numeric", FillsFromPreviousRow, "a sample alone gives what it gives in a batch"),
    ("numeric", ForgetsState, r"chunks: .* the state carried on, give what the whole gives \((values|age)\)"),
    ("numeric", CountsCalls, r"chunks: .* give what the whole gives \(final state\) \(calls\)"),
    ("numeric", ForgetsInIdleCalls, "rows: rows without a step keep their state"),
    ("numeric", KeepsTimesByValue, "saving: a state that was saved goes on in another process"),
    ("numeric", GivesRowAnEvent, "next event: next_event gives one row a step that has events"),
    ("numeric", SharesMask, "next event: a step's target row .*; another mask came"),
    ("numeric", ResetsIdleRows, "give what the whole gives"),
    ("numeric", RemembersOnModule, "a state's rows can be taken and reordered|keep their state"),
    ("numeric", LooksAhead, "an event depends on no later step"),
    ("numeric", PutsSampleLast, "first axis of every state tensor is the sample"),
    ("numeric", LeavesRawNaN, "finite"),
    ("numeric", KeepsFloat64, "numbers come out in the model's dtype"),
    ("numeric", DropsEmptyEvents, "one event comes out for each that went in"),
    ("numeric", ChangesRawValues, "raw events are left as they are"),
    ("numeric", HasIdleParameter, "every trainable parameter gets a gradient.*gain has none"),
    ("numeric", LearnsOnlyWhereSomeIsMissing, "every trainable parameter gets a gradient.*gain has none"),
    ("numeric", HasVainParameter, "every parameter matters; the gradient of gain is zero"),
    ("numeric", CentersByLearntGain, "gradients: no events, no gradient; gain has some"),
    ("numeric", RootOfZero, "gradients: gradients are finite"),
    ("numeric", ForgetsOnlyInLearning, "the state carried on, give the gradients of the whole"),
    ("numeric", ParsesMissingAsZero, "parsed to what a store gives"),
    ("numeric", FitsLastChunk, "does not depend on how the values are chunked"),
    ("numeric", FitsNothing, "fitting reads the chunks"),
    ("numeric", KeepsFactsOnClass, "built from the spec alone gives the same"),
    ("numeric", MergesWithNeighbour, "a step's target row depends on its own events only"),
    ("numeric", SharesColumns, "the parts of the next event divide its columns"),
    ("numeric", KeepsSetInFacts, "facts: a spec goes through JSON unchanged"),
    ("category", FitsBeginningOfLastChunk, "training split: .* values are chunked; another spec came"),
    ("numeric", FitsNoSpreadOfNothing, "nothing to fit: a column without any value gives finite numbers"),
    ("numeric", CountsWhatItSees, "other splits: .* change nothing that was fitted; the spec changed"),
    ("category", FitsWholeVocabulary, "does not see words that the training split lacks"),
    ("category", TakesCodesOfStore, "told apart by their words"),
    ("category", HidesUnknown, "codes that the training split never had are counted"),
]


@pytest.mark.parametrize(("kind", "modality_class", "rule"), FAULTS, ids=[c.__name__ for _, c, _ in FAULTS])
def test_planted_fault_is_caught(
    kind: str, modality_class: type[Modality], rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_class = modalities.config_class(kind)
    monkeypatch.setitem(modalities._classes, kind, (config_class, modality_class))
    with pytest.raises(AssertionError, match=rule) as caught:
        check_modality(example_config(kind))
    assert str(caught.value).startswith(f"{modality_class.__name__}: ")
    assert str(caught.value).count("; ") >= 2  # rule; what came; what to do
