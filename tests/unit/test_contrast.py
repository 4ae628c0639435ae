"""A whole model that tells next events apart: its contract, its windows, and what it says of bad numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import NumericEvents, Timeline
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import windows
from mmseq.carried import Carried
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.fit import fit
from mmseq.inference.evaluate import evaluate_model
from mmseq.model import Model
from mmseq.store import Store
from mmseq.testing.model import check_model
from mmseq.training.diagnose import diagnose

FEW = [4, 7, 10, 28, 19]
MakeExperiment = Callable[..., Experiment]


@pytest.fixture(scope="module")
def make_contrasted(make_experiment: MakeExperiment, silent: Path) -> MakeExperiment:
    """Modality `vitals` has no likelihood; a task beside it has labels."""
    tree = make_experiment().model_dump(mode="json")
    names = ("vitals", "codes", "ward")
    tree["modalities"]["vitals"] |= {"kind": "silent", "dropout": 0.3}
    tasks = {"sick": tree["tasks"]["sick"]}
    tasks["seen"] = {"kind": "next_step", "modality": "vitals", "negatives": 3, "time": True}
    tasks["own"] = {"kind": "next_step", "modality": "vitals", "at": "own", "temperature": 1.0}

    def make(**changes: Any) -> Experiment:
        modalities = {name: tree["modalities"][name] for name in names}
        return make_experiment(**{"modalities": modalities, "tasks": tasks, **changes})

    return make


@pytest.fixture(scope="module")
def contrasted(make_contrasted: MakeExperiment) -> Experiment:
    return make_contrasted()


@pytest.fixture(scope="module")
def store(contrasted: Experiment) -> Store:
    return prepare(contrasted)


def build(experiment: Experiment, store: Store) -> Model:
    torch.manual_seed(0)
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double()


@pytest.fixture
def model(contrasted: Experiment, store: Store) -> Model:
    return build(contrasted, store)


@pytest.mark.parametrize("fill", ["last", "decay"])
def test_contract(make_contrasted: MakeExperiment, store: Store, fill: str) -> None:
    tree = make_contrasted().model_dump(mode="json")
    tree["modalities"]["vitals"]["fill"] = fill
    model = build(make_contrasted(modalities=tree["modalities"]), store)
    check_model(model, Assembler(store, model, tasks=list(model.heads)).batch(np.array(FEW)))


def test_candidates_are_encoded_alike_and_with_nothing_before_them(model: Model, store: Store) -> None:
    """As a sample of one step each: the next event cannot be told by what the inputs remember."""
    batch = Assembler(store, model, tasks=["seen"]).batch(np.array(FEW))
    candidates = batch.targets["seen"].candidates
    assert candidates is not None and isinstance(candidates.drawn, NumericEvents)
    found = model._compared("seen", candidates)
    for events, encoded in ((candidates.own, found.own), (candidates.drawn, found.drawn.flatten(0, 1))):
        for i, expected in enumerate(encoded):
            one = events.take(torch.nonzero(events.step == i)[:, 0])
            timeline = Timeline(torch.tensor([0, 1]), torch.zeros(1, dtype=torch.float64), torch.zeros(1))
            ready, _ = model.modalities["vitals"](replace(one, step=one.step * 0), timeline)
            mean = model.encoders["vitals"](ready).mean(0)
            torch.testing.assert_close(mean, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("width", [1, 3, 50])
def test_windows_give_what_the_whole_gives(model: Model, store: Store, width: int) -> None:
    assembler, samples = Assembler(store, model, tasks=["seen", "own"]), np.arange(14)
    whole, longest = assembler.batch(samples, 5), int(store.lengths[samples].max())
    expected, _ = model.eval()(whole)
    carried, sums = Carried(), dict.fromkeys(expected, torch.zeros((), dtype=torch.float64))
    for window in windows(longest, width):
        part = assembler.batch(samples, 5, window)
        for task, parameters in carried.run(model, part).items():
            sums[task] = sums[task] + model.heads[task].loss_sum(parameters, part.targets[task])
    for task, parameters in expected.items():
        total = model.heads[task].loss_sum(parameters, whole.targets[task])
        torch.testing.assert_close(sums[task], total, rtol=0, atol=1e-9)


def test_evaluation_is_the_same_each_time_and_by_windows(
    model: Model, store: Store, make_contrasted: MakeExperiment
) -> None:
    samples = np.arange(14)
    expected = evaluate_model(model, store, samples)
    for task, n in (("seen", 3), ("own", 16)):
        assert expected[task]["labels"] > 20
        assert [*expected[task]["metrics"]][:2] == ["loss", "accuracy"]
        chance = expected[task]["baseline"]["accuracy"]
        assert chance == pytest.approx(1 / (1 + n), rel=0.1)  # a little more where a draw is masked
    assert expected["own"]["baseline"]["loss"] == pytest.approx(np.log(17), rel=0.05)
    assert evaluate_model(model, store, samples) == expected
    longer = Model(make_contrasted(training={"window": 3}), model.facts).double()
    longer.load_state_dict(model.state_dict())
    found = evaluate_model(longer, store, samples)
    for task in ("seen", "own"):
        for name, value in expected[task]["metrics"].items():
            assert found[task]["metrics"][name] == pytest.approx(value, rel=1e-9)


def test_a_bad_candidate_is_told(model: Model, store: Store) -> None:
    batch = Assembler(store, model, tasks=["seen"]).batch(np.array(FEW))
    candidates = batch.targets["seen"].candidates
    assert candidates is not None and isinstance(candidates.own, NumericEvents)
    first = int(candidates.positive[0])
    candidates.own.values[candidates.own.step == first] = torch.nan
    found = diagnose(model, dict(model.named_parameters()), [(batch, None)])
    assert found.tasks == ["seen"] and len(found.samples) == 1


def test_predictions_have_no_column_of_it(model: Model, store: Store) -> None:
    batch = Assembler(store, model, tasks=[]).batch(np.array(FEW))
    parameters, _ = model.predict_at(batch)
    assert parameters["seen"].shape == (len(FEW), 2) and parameters["own"].shape == (len(FEW), 0)


def test_survives_the_bundle(model: Model, store: Store, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    batch = Assembler(store, model, tasks=["seen"]).batch(np.array(FEW))
    assert loaded.heads["seen"].negatives == 3 and loaded.heads["own"].negatives == 16
    expected, _ = model.eval()(batch)
    assert torch.equal(loaded(batch)[0]["seen"], expected["seen"])
