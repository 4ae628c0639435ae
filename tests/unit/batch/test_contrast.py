"""What next events are told apart from, against the plain rows of the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseq.batch import Batch, NumericEvents
from mmseq.batch.asked import Asked
from mmseq.batch.assemble import Assembler
from mmseq.batch.contrast import Negatives
from mmseq.batch.loader import evaluation_loader, windows
from mmseq.batch.maker import StoredModality
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.store import Store

K = 5
SAMPLES = np.array([8, 4, 20, 2, 5, 6, 11, 30])

Step = tuple[tuple[float, ...], ...]
"""The events of a step, as rows of numbers, NaN where missing."""

Steps = list[dict[float, Step]]
"""Of each sample, by time."""


@pytest.fixture(scope="module")
def contrasted(make_experiment: Callable[..., Experiment], silent: Path) -> Experiment:
    tree = make_experiment().model_dump(mode="json")
    tree["modalities"]["vitals"]["kind"] = "silent"
    tree["tasks"]["next_vitals"] |= {"negatives": K, "time": True}
    own = {"kind": "next_step", "modality": "vitals", "at": "own", "negatives": 2}
    return make_experiment(modalities=tree["modalities"], tasks=tree["tasks"] | {"own_vitals": own})


@pytest.fixture(scope="module")
def store(contrasted: Experiment) -> Store:
    return prepare(contrasted)


@pytest.fixture(scope="module")
def model(contrasted: Experiment, store: Store) -> Model:
    return Model(contrasted, fit(contrasted, store, np.arange(len(store))))


@pytest.fixture(scope="module")
def assembler(model: Model, store: Store) -> Assembler:
    return Assembler(store, model, tasks=list(model.heads), previous=True)


@pytest.fixture(scope="module")
def steps(store: Store) -> Steps:
    gathered = store.gather(np.arange(len(store)), ["vitals"], [])
    rows = gathered.events["vitals"]
    found: Steps = [{} for _ in range(len(store))]
    for i, own in enumerate(found):
        for row in range(rows.starts[i], rows.starts[i + 1]):
            time = float(gathered.time[rows.step[row]])
            own[time] = (*own.get(time, ()), tuple(rows.arrays["values"][row].tolist()))
    return found


def by_candidate(events: object, n: int) -> list[Step]:
    assert isinstance(events, NumericEvents)
    values = torch.where(events.observed, events.values.double(), torch.nan)
    return [tuple(map(tuple, values[events.step == i].tolist())) for i in range(n)]


def labels(batch: Batch, task: str) -> dict[tuple[str, float], tuple[Step, list[Step], list[bool]]]:
    """By sample and time that a label is predicted from: its next step, the draws, and which are others."""
    target = batch.targets[task]
    candidates, other = target.candidates, target.other
    assert candidates is not None and other is not None
    own = by_candidate(candidates.own, candidates.n_own)
    drawn = by_candidate(candidates.drawn, candidates.n_drawn)
    n, found = other.shape[1], {}
    for i, where in enumerate(target.where.tolist()):
        key = (batch.ids[int(batch.timeline.sample[where])], float(batch.timeline.time[where]))
        first = int(candidates.sample[i]) * n
        found[key] = (own[candidates.positive[i]], drawn[first : first + n], other[i].tolist())
    return found


def same(a: object, b: object) -> bool:
    return repr(a) == repr(b)  # as NaN is not itself


@pytest.mark.parametrize("task", ["next_vitals", "own_vitals"])
def test_against_oracle(task: str, assembler: Assembler, store: Store, steps: Steps) -> None:
    """The label's next step, and whole steps of any sample; what is the next step itself is no other."""
    batch = assembler.batch(SAMPLES)
    found, place = labels(batch, task), {id: i for i, id in enumerate(store.ids.tolist())}
    expected = {}
    for id, start, stop in zip(batch.ids, batch.timeline.starts[:-1], batch.timeline.starts[1:], strict=True):
        own = steps[place[id]]
        for time in batch.timeline.time[start:stop].tolist():
            later = [at for at in sorted(own) if at > time]
            if later and (time in own or task == "next_vitals"):
                expected[id, time] = own[later[0]]
    assert found.keys() == expected.keys() and len(found) > 20
    everything = Counter(repr(step) for own in steps for step in own.values())
    for key, (step, drawn, other) in found.items():
        assert same(step, expected[key])
        for candidate, is_other in zip(drawn, other, strict=True):
            assert everything[repr(candidate)]
            assert is_other != same(candidate, step) or everything[repr(candidate)] > 1
    assert any(len(step) > 1 for own in steps for step in own.values())  # several events share a step
    assert batch.targets[task].value.tolist() == [0] * len(found)
    assert batch.weights[task] == len(found) * (2 if task == "next_vitals" else 1)  # the wait too


def test_a_draw_of_the_next_step_itself_is_no_other(assembler: Assembler, steps: Steps) -> None:
    """But an event that is its like is one."""
    everything = Counter(repr(step) for own in steps for step in own.values())
    told: dict[bool, list[bool]] = {True: [], False: []}  # whether it has its like
    for seed in range(20):
        for step, drawn, other in labels(assembler.batch(SAMPLES, seed), "next_vitals").values():
            alike = [is_other for one, is_other in zip(drawn, other, strict=True) if same(one, step)]
            told[everything[repr(step)] > 1] += alike
    assert told[False] and not any(told[False])
    assert any(told[True])


@pytest.mark.parametrize("parts", [1, 2, 4, 9])
def test_any_division_draws_the_same(parts: int, assembler: Assembler) -> None:
    whole = assembler.batch(SAMPLES, 7)
    micros = [assembler.micro_batch(SAMPLES, part, parts, 7) for part in range(parts)]
    for task in ("next_vitals", "own_vitals"):
        found = {key: label for micro in micros for key, label in labels(micro, task).items()}
        assert same(sorted(found.items()), sorted(labels(whole, task).items()))
        assert {micro.weights[task] for micro in micros} == {whole.weights[task]}


@pytest.mark.parametrize("width", [1, 3, 50])
@pytest.mark.parametrize("seed", [None, 7])
def test_windows_draw_the_same(width: int, seed: int | None, assembler: Assembler) -> None:
    whole, longest = assembler.batch(SAMPLES, seed), int(assembler.store.lengths[SAMPLES].max())
    parts = [assembler.batch(SAMPLES, seed, window) for window in windows(longest, width)]
    for task in ("next_vitals", "own_vitals"):
        found = [item for part in parts for item in labels(part, task).items()]
        assert same(sorted(found), sorted(labels(whole, task).items()))


def test_a_step_a_sample_and_a_task_draw_their_own(assembler: Assembler) -> None:
    def drawn(seed: int | None, samples: np.ndarray = SAMPLES) -> dict[str, Step]:
        found = labels(assembler.batch(samples, seed), "next_vitals")
        return {id: repr(draws) for (id, _), (_, draws, _) in found.items()}  # type: ignore[misc]

    assert drawn(1) == drawn(1) and drawn(None) == drawn(None)
    assert len({tuple(drawn(seed).values()) for seed in (None, *range(9))}) == 10
    assert len(set(drawn(1).values())) == len(drawn(1)) > 3
    few = drawn(1, SAMPLES[[6, 0]])
    assert few.items() <= drawn(1).items() and len(few) == 2


def test_only_from_the_samples_that_it_may_draw_from(model: Model, store: Store, steps: Steps) -> None:
    """In training those it is given; in evaluation those that are evaluated, in however many processes."""
    some = np.array([3, 20, 11, 0])
    known = {repr(step) for i in some for step in steps[i].values()}
    trained = Assembler(store, model, tasks=["next_vitals"], among=some)
    for seed in range(5):
        for _, drawn, _ in labels(trained.batch(SAMPLES, seed), "next_vitals").values():
            assert {repr(step) for step in drawn} <= known
    evaluated = {repr(step) for i in SAMPLES for step in steps[i].values()}
    batches = [*evaluation_loader(trained, SAMPLES, size=3)]
    found = {key: label for batch in batches for key, label in labels(batch, "next_vitals").items()}
    for _, drawn, _ in found.values():
        assert {repr(step) for step in drawn} <= evaluated
    whole = trained.drawing_from(SAMPLES).batch(SAMPLES)
    assert same(sorted(found.items()), sorted(labels(whole, "next_vitals").items()))


def test_every_step_is_drawn_as_often(model: Model, store: Store, steps: Steps) -> None:
    """Not samples, nor events: χ² over the steps."""
    among, n_seeds, n = np.array([3, 20, 11, 0, 8]), 500, 4
    vitals = StoredModality(store, "vitals", model.modalities["vitals"])
    negatives = Negatives(vitals, task="t", n=n, among=among)
    drawn = [negatives.draw(SAMPLES, seed) for seed in range(n_seeds)]
    counts = Counter((int(s), float(t)) for one in drawn for s, t in zip(one.sample, one.time, strict=True))
    events = {(i, time): len(step) for i in among.tolist() for time, step in steps[i].items()}
    assert counts.keys() <= events.keys() and max(events.values()) > 1
    share = n_seeds * len(SAMPLES) * n / len(events)
    chi2 = sum((counts[step] - share) ** 2 / share for step in events)
    assert chi2 < len(events) + 4 * (2 * len(events)) ** 0.5


def test_no_samples_and_samples_without_events(assembler: Assembler, model: Model) -> None:
    for samples in (SAMPLES[:0], np.array([4])):  # which has nothing timed
        batch = assembler.drawing_from(samples).batch(samples)
        assert batch.weights["next_vitals"] == 0 and len(batch.targets["next_vitals"]) == 0
        parameters, _ = model(batch)
        assert parameters["next_vitals"].shape == (0, 1 + K + 2)


@pytest.mark.parametrize("window", [None, (0, 3), (3, 6)])
def test_label_weights_need_no_arrays(
    window: tuple[int, int] | None, assembler: Assembler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process counts the labels of the whole batch; it reads what its own part holds, and no more."""
    expected = assembler.batch(SAMPLES, 7, window).weights
    read = []
    events = type(assembler.modalities["vitals"].modality).events

    def counted(self: object, step: torch.Tensor, arrays: object, words: object) -> object:
        read.append(len(step))
        return events(self, step, arrays, words)  # type: ignore[arg-type]

    monkeypatch.setattr(type(assembler.modalities["vitals"].modality), "events", counted)
    assert assembler._label_weights(Asked(SAMPLES, window, 7)) == expected
    assert not read
