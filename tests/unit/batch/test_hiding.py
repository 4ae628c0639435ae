"""Cells that are hidden: which, what the model sees of them, and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmseq.batch import Batch, NumericEvents
from mmseq.batch.assemble import Assembler
from mmseq.batch.hiding import without
from mmseq.batch.loader import evaluation_loader, windows
from mmseq.config.experiment import Experiment
from mmseq.fit import fit
from mmseq.inference.evaluate import evaluate_model
from mmseq.model import Model
from mmseq.store import Store
from mmseq.testing.model import check_model

MakeExperiment = Callable[..., Experiment]
FEW = np.array([4, 7, 10, 28, 19, 7])
SHARE = 0.3
TASKS: dict[str, Any] = {
    "sick": {"kind": "classification", "table": "labels.csv", "column": "sick"},
    "next": {"kind": "next_step", "modality": "vitals"},
    "fill": {"kind": "imputation", "modality": "vitals", "hide": SHARE},
}


@pytest.fixture(scope="module")
def filling(make_experiment: MakeExperiment) -> Experiment:
    return make_experiment(tasks=TASKS)


@pytest.fixture(scope="module")
def model(filling: Experiment, store: Store) -> Model:
    torch.manual_seed(0)
    return Model(filling, fit(filling, store, np.arange(len(store)))).double()


@pytest.fixture(scope="module")
def assembler(model: Model, store: Store) -> Assembler:
    return Assembler(store, model, tasks=list(TASKS), previous=True)


def _longest(store: Store) -> np.ndarray:
    return store.n_events("vitals").argmax(keepdims=True)


def vitals(batch: Batch) -> NumericEvents:
    events = batch.events["vitals"]
    assert isinstance(events, NumericEvents)
    return events


def hidden(assembler: Assembler, samples: np.ndarray, seed: int | None, **where: Any) -> torch.Tensor:
    """Which cells a batch lacks that the store has."""
    batch = assembler.batch(samples, seed, hide=seed is None, **where)
    there = vitals(assembler.batch(samples, **where)).observed
    assert not (vitals(batch).observed & ~there).any()
    return there & ~vitals(batch).observed


def test_a_share_of_the_observed_cells_is_hidden_and_asked_for(assembler: Assembler) -> None:
    everyone = np.arange(len(assembler.store))
    there, n_hidden = vitals(assembler.batch(everyone)), 0
    for seed in range(20):
        cells, batch = hidden(assembler, everyone, seed), assembler.batch(everyone, seed)
        target, rows = batch.targets["fill"], torch.nonzero(cells.any(1))[:, 0]
        assert torch.equal(target.where, there.step[rows]) and torch.equal(target.observed, cells[rows])
        assert torch.equal(target.value, torch.where(cells, there.values, 0)[rows])
        assert batch.weights["fill"] == cells.sum()
        n_hidden += int(cells.sum())
    n = 20 * int(there.observed.sum())
    assert abs(n_hidden / n - SHARE) < 4 * (SHARE * (1 - SHARE) / n) ** 0.5


def test_a_hidden_cell_is_as_one_that_was_never_observed(assembler: Assembler, model: Model) -> None:
    """Fill, mask and age are those of a table with holes. Caught: nothing hidden."""
    assert hidden(assembler, FEW, 3).any()
    batch, there = assembler.batch(FEW, 3), vitals(assembler.batch(FEW))
    values = torch.where(hidden(assembler, FEW, 3) | ~there.observed, torch.nan, there.values)
    raw = model.modalities["vitals"].events(there.step, {"values": values.numpy()}, ())
    expected, _ = model.modalities["vitals"](raw, batch.timeline)
    ready, _ = model.modalities["vitals"](vitals(batch), batch.timeline)
    for name in ("values", "observed", "age"):
        assert torch.equal(getattr(ready, name), getattr(expected, name)), name


@pytest.mark.parametrize("seed", [5, None])
def test_its_true_value_changes_nothing_that_is_said(
    assembler: Assembler, model: Model, seed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, of every task. Caught: the inputs left as they are, and the targets made all the same."""
    cells, before = hidden(assembler, FEW, seed), assembler.batch(FEW, seed, hide=seed is None)
    expected, _ = model(before)
    read = type(model.modalities["vitals"]).events

    def other(self: object, *given: Any) -> NumericEvents:
        events = read(self, *given)  # type: ignore[arg-type]
        return replace(events, values=torch.where(cells, events.values + 1e3, events.values)) if (
            events.values.shape == cells.shape
        ) else events  # fmt: skip

    monkeypatch.setattr(type(model.modalities["vitals"]), "events", other)
    after = assembler.batch(FEW, seed, hide=seed is None)
    assert not torch.equal(after.targets["fill"].value, before.targets["fill"].value)
    found, _ = model(after)
    for task, value in expected.items():
        assert torch.equal(found[task], value), task


@pytest.mark.parametrize("seed", [5, None])
def test_the_same_cells_in_any_batch_part_and_window(assembler: Assembler, seed: int | None) -> None:
    """Caught: a hash of the step's place in the batch; of that in the window."""
    whole = hidden(assembler, FEW, seed)
    alone = [hidden(assembler, FEW[i : i + 1], seed) for i in range(len(FEW))]
    assert torch.equal(torch.cat(alone), whole)
    long = _longest(assembler.store)
    steps = [hidden(assembler, long, seed, window=w) for w in windows(99, 1)]
    assert torch.equal(torch.cat(steps), hidden(assembler, long, seed)) and torch.cat(steps).any()
    assert not torch.equal(hidden(assembler, FEW, 6), whole)


@pytest.mark.parametrize("window", [None, (0, 4)])
def test_parts_add_up(assembler: Assembler, model: Model, window: tuple[int, int] | None) -> None:
    """Caught: the weight of the same samples at the step before."""
    everyone = np.arange(len(assembler.store))
    for seed in (9, 10):
        whole = assembler.batch(everyone, seed, window)
        expected = model.heads["fill"].loss_sum(model(whole)[0]["fill"], whole.targets["fill"])
        loss = torch.zeros((), dtype=torch.float64)
        for part in range(3):
            batch = assembler.micro_batch(everyone, part, 3, seed, window)
            assert batch.weights == whole.weights
            loss = loss + model.heads["fill"].loss_sum(model(batch)[0]["fill"], batch.targets["fill"])
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-9)


def test_evaluation_asks_the_others_with_nothing_hidden(
    assembler: Assembler, model: Model, store: Store
) -> None:
    """Caught: one pass for all."""
    batches = [*evaluation_loader(assembler, FEW)]
    assert [list(batch.targets) for batch in batches] == [["sick", "next"], ["fill"]]
    seen, masked = (vitals(batch).observed for batch in batches)
    assert bool((seen & ~masked).any())
    only = Assembler(store, model, tasks=["fill"])
    assert [list(batch.targets) for batch in evaluation_loader(only, FEW)] == [["fill"]]
    predicting = Assembler(store, model, tasks=[])
    (batch,) = evaluation_loader(predicting, FEW)
    assert torch.equal(vitals(batch).observed, seen)


@pytest.mark.parametrize("width", [1, 3])
def test_windows_know_the_last_value_that_is_not_hidden(assembler: Assembler, width: int) -> None:
    """Caught: the last value of the store, hidden or not."""
    samples = _longest(assembler.store)
    whole = assembler.batch(samples, hide=True).targets["fill"]
    assert len(whole) > 5
    parts = [assembler.batch(samples, window=w, hide=True) for w in windows(99, width)]
    assert torch.equal(torch.cat([p.targets["fill"].where + p.begin for p in parts]), whole.where)
    known = torch.cat([p.targets["fill"].previous for p in parts])  # type: ignore[misc]
    torch.testing.assert_close(known, whole.previous, rtol=0, atol=0, equal_nan=True)


def test_scores_are_of_the_hidden_cells(assembler: Assembler, model: Model, store: Store) -> None:
    everyone = np.arange(len(store))
    report = evaluate_model(model, store, everyone)["fill"]
    batch = assembler.batch(everyone, hide=True)
    there, cells = vitals(assembler.batch(everyone)), hidden(assembler, everyone, None)
    z = model(batch)[0]["fill"].detach().numpy()
    spec = model.facts.tasks["fill"]
    errors: dict[str, list[list[float]]] = {"metrics": [[], []], "baseline": [[], []], "mean": [[], []]}
    row = {int(step): i for i, step in enumerate(batch.targets["fill"].where.tolist())}
    for event, f in torch.nonzero(cells).tolist():
        truth, step = float(there.values[event, f]), int(there.step[event])
        sample = batch.timeline.sample[step]
        last = [
            float(there.values[e, f])
            for e in range(len(there))
            if there.observed[e, f] and not cells[e, f]
            and there.step[e] <= step and batch.timeline.sample[there.step[e]] == sample
        ]  # fmt: skip
        said = spec.mean[f] + spec.std[f] * z[row[step], f]
        for name, value in (
            ("metrics", said),
            ("baseline", (last or [spec.mean[f]])[-1]),
            ("mean", spec.mean[f]),
        ):
            errors[name][f].append(abs(truth - value))
    for name, own in errors.items():
        for f, column in enumerate(spec.columns):
            assert report[name][f"mae.{column}"] == pytest.approx(np.mean(own[f]), rel=1e-6), name
        squares = np.concatenate([np.square(own[f]) / spec.std[f] ** 2 for f in range(2)])
        assert report[name]["nrmse"] == pytest.approx(np.sqrt(squares.mean()), rel=1e-6), name
    assert report["labels"] == len(batch.targets["fill"])


def test_the_whole_model_keeps_its_contract(assembler: Assembler, model: Model) -> None:
    check_model(model, assembler.batch(FEW[:5], 3))


def test_a_core_that_looks_both_ways_fills_from_the_future(
    make_experiment: MakeExperiment, store: Store
) -> None:
    core = {"kind": "bidirectional", "core": {"kind": "gru", "hidden": 3}}
    experiment = make_experiment(tasks={"fill": TASKS["fill"]}, core=core)
    model = Model(experiment, fit(experiment, store, np.arange(len(store)))).double()
    batch = Assembler(store, model, tasks=["fill"]).batch(_longest(store), hide=True)
    events = vitals(batch)
    last = torch.zeros_like(events.observed)
    last[-1] = True
    other = replace(
        events, values=torch.where(last, events.values + 1, events.values), observed=events.observed | last
    )
    later = replace(batch, events={**batch.events, "vitals": other})
    one, two = model(batch)[0]["fill"], model(later)[0]["fill"]
    assert not torch.equal(one[0], two[0])


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"modality": "codes"}, "must be of numbers; 'codes' is of kind 'category'"),
        ({"modality": "age"}, "must name a modality with a clock; came 'age', which has no `time`"),
        ({"hide": 0}, "greater than 0"),
        ({"hide": 1}, "less than 1"),
    ],
)
def test_what_cannot_be_hidden_is_told(make_experiment: MakeExperiment, tasks: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_experiment(tasks={"fill": TASKS["fill"] | tasks})


def test_a_modality_is_filled_by_one_task(make_experiment: MakeExperiment) -> None:
    with pytest.raises(ValidationError, match="'vitals' is filled by another task already"):
        make_experiment(tasks={"fill": TASKS["fill"], "again": TASKS["fill"]})


def test_nothing_is_complete_once_a_cell_is_hidden() -> None:
    """Caught: events still said to be complete, whose hidden cells then pass for zeros that were seen."""
    values = torch.ones(3, 2)
    events = NumericEvents(torch.arange(3), values, values > 0).if_complete(True)
    assert events.take(torch.tensor([0, 2])).complete and events.to("cpu").complete
    assert not without(events, torch.eye(3, 2, dtype=torch.bool)).complete
