"""The whole model: whichever way its inputs are cut, saved, hidden or named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.batch import Batch, Timeline
from mmseq.batch.assemble import Assembler
from mmseq.bundle import dump_json, read_folder, write_folder
from mmseq.config.experiment import Experiment
from mmseq.cores import cores
from mmseq.errors import CheckpointError
from mmseq.fit import fit
from mmseq.fusions import Seen, fusions
from mmseq.model import Model
from mmseq.model_bundle import SCHEMA
from mmseq.random import Noise
from mmseq.readouts import readouts
from mmseq.state import State, flatten, map_state
from mmseq.store import Store
from mmseq.testing.batches import batch_of, batches_of_steps, idle, without_events
from mmseq.testing.model import check_model

MakeExperiment = Callable[..., Experiment]
FEW = [4, 7, 10, 28, 19]  # of 1 to 7 steps; the first has nothing timed, the second no label


def build(experiment: Experiment, store: Store, model_class: type[Model] = Model) -> Model:
    torch.manual_seed(0)
    return model_class(experiment, fit(experiment, store, np.arange(len(store))))


def batch_for(model: Model, store: Store, samples: list[int]) -> Batch:
    return Assembler(store, model, tasks=list(model.heads)).batch(np.array(samples))


@pytest.fixture(scope="module")
def model(experiment: Experiment, store: Store) -> Model:
    return build(experiment, store).eval()


@pytest.fixture(scope="module")
def batch(model: Model, store: Store) -> Batch:
    return batch_for(model, store, list(range(12)))


@pytest.fixture
def make_smaller(make_experiment: MakeExperiment) -> MakeExperiment:
    tree = make_experiment().model_dump(mode="json")
    modalities = {name: tree["modalities"][name] for name in ("vitals", "codes", "ward")}
    tasks = {name: tree["tasks"][name] for name in ("sick", "stage", "next_vitals")}
    return partial(make_experiment, modalities=modalities, tasks=tasks)


def pairs() -> list[Any]:
    """Each core once, and so each fusion several times; all pairs together take long."""
    fusion_kinds = fusions.kinds()
    assert len(cores.kinds()) >= len(fusion_kinds)
    return [
        pytest.param(core, fusion, marks=() if i % len(fusion_kinds) == j else pytest.mark.slow)
        for i, core in enumerate(cores.kinds())
        for j, fusion in enumerate(fusion_kinds)
    ]


@pytest.mark.parametrize(("core", "fusion"), pairs())
def test_contract_of_every_core_and_fusion_with_all_readouts(
    core: str, fusion: str, make_smaller: MakeExperiment, store: Store
) -> None:
    every = [{"kind": readout} for readout in readouts.kinds()]
    changes: dict[str, Any] = {"core": {"kind": core}, "fusion": {"kind": fusion}, "readout": every}
    if core == "bidirectional":  # which has seen what comes next
        changes["tasks"] = {"sick": {"kind": "classification", "table": "labels.csv", "column": "sick"}}
    experiment = make_smaller(**changes)
    model = build(experiment, store)
    check_model(model, batch_for(model, store, FEW))


@pytest.mark.parametrize("readout", readouts.kinds())
def test_contract_of_every_readout_alone(readout: str, make_smaller: MakeExperiment, store: Store) -> None:
    model = build(make_smaller(readout=[{"kind": readout}]), store)
    check_model(model, batch_for(model, store, FEW))


def test_contract_of_everything_at_once(make_experiment: MakeExperiment, store: Store) -> None:
    tree = make_experiment().model_dump(mode="json")
    for modality in tree["modalities"].values():
        modality["dropout"] = 0.3
    tree["modalities"]["vitals"]["fill"] = "decay"
    experiment = make_experiment(
        modalities=tree["modalities"],
        core={"kind": "lstm", "hidden": 5, "layers": 2, "dropout": 0.3},
        readout=[{"kind": "last"}, {"kind": "mean"}, {"kind": "max"}, {"kind": "attention"}],
    )
    model = build(experiment, store)
    check_model(model, batch_for(model, store, list(range(6))))


class ForgetsStatic(Model):
    def see(self, name: str, events: Any, timeline: Timeline, state: State | None = None) -> Any:
        return super().see(name, events, timeline, None if name in self.static else state)


class ForgetsCarry(Model):
    def see(self, name: str, events: Any, timeline: Timeline, state: State | None = None) -> Any:
        without = None if state is None else {**state, "carry": None}
        return super().see(name, events, timeline, without)  # type: ignore[arg-type]


class DetachesState(Model):
    def trunk(self, batch: Batch, state: State | None = None, *rest: Any) -> Any:
        return super().trunk(batch, None if state is None else map_state(Tensor.detach, state), *rest)


class LeaksAcrossSamples(Model):
    def read(self, hidden: Tensor, *rest: Any) -> Any:
        return super().read(hidden - hidden.mean(0) if len(hidden) else hidden, *rest)


class SkipsAbsentModality(Model):
    def see(self, name: str, events: Any, timeline: Timeline, state: State | None = None) -> Any:
        seen, after = super().see(name, events, timeline, state)
        return (seen if len(events) or state else Seen(seen.values.detach(), seen.present, seen.age)), after


class LooksAhead(Model):
    scale = 1e-3

    def encode(self, events: Any, timeline: Timeline, state: State | None = None) -> Any:
        hidden, after = super().encode(events, timeline, state)
        following = torch.arange(1, len(hidden) + 1).minimum(timeline.last[timeline.sample])
        return hidden + self.scale * hidden[following], after


class LooksAheadByLessThanAnyTolerance(LooksAhead):
    scale = 1e-14


FAULTS: list[tuple[type[Model], str]] = [
    (ForgetsStatic, "chunks of 5 steps"),
    (ForgetsCarry, "the state carried on, give what the whole gives"),
    (DetachesState, r"chunks of 5 steps.*\(gradient of"),
    (LeaksAcrossSamples, "a sample alone gives what it gives in a batch"),
    (SkipsAbsentModality, "every trainable parameter gets a gradient"),
    (LooksAhead, "chunks of 5 steps"),
    (LooksAheadByLessThanAnyTolerance, "depend on no later value"),
]


@pytest.mark.parametrize(("model_class", "rule"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_fault_is_caught(
    model_class: type[Model], rule: str, experiment: Experiment, store: Store
) -> None:
    model = build(experiment, store, model_class)
    with pytest.raises(AssertionError, match=rule):
        check_model(model, batch_for(model, store, FEW))


def test_head_that_averages_is_caught(model: Model, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    head_class = type(model.heads["level"])
    total = head_class.loss_sum

    def mean(head: Any, parameters: Tensor, target: Any) -> Tensor:
        return total(head, parameters, target) / max(len(target), 1)

    monkeypatch.setattr(head_class, "loss_sum", mean)
    with pytest.raises(AssertionError, match="loss sum of level"):
        check_model(model, batch)


def test_bundle_gives_identical_predictions(model: Model, batch: Batch, tmp_path: Path) -> None:
    expected, _ = model.predict_at(batch)
    model.save(tmp_path / "model")
    loaded = Model.load(tmp_path / "model")
    assert loaded.facts == model.facts and loaded.experiment == model.experiment
    actual, _ = loaded.predict_at(batch)
    for task, parameters in expected.items():
        assert torch.equal(actual[task], parameters), task


def test_bundle_keeps_float64(experiment: Experiment, store: Store, batch: Batch, tmp_path: Path) -> None:
    model = build(experiment, store).double().eval()
    model.save(tmp_path / "model")
    actual, _ = Model.load(tmp_path / "model").predict_at(batch)
    expected, _ = model.predict_at(batch)
    assert all(torch.equal(actual[task], expected[task]) for task in expected)
    assert expected["sick"].dtype == torch.float64


def test_bundle_holds_strict_json_and_tensors_alone(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"config.json", "facts.json", "manifest.json", "weights.safetensors"}
    for name in ("config.json", "facts.json"):
        json.loads((tmp_path / "model" / name).read_bytes(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("facts.json", lambda facts: {**facts, "time_scale": "fast"} | {"modalities": {}}),
        ("config.json", lambda config: {**config, "core": {"kind": "gru", "hidden": 9}}),
        ("config.json", lambda config: {**config, "colour": "red"}),
    ],
)
def test_bundle_whose_parts_do_not_fit_is_a_checkpoint_error(
    name: str, spoil: Callable[[Any], Any], model: Model, tmp_path: Path
) -> None:
    model.save(tmp_path / "model")
    files = read_folder(tmp_path / "model", SCHEMA)
    files[name] = dump_json(spoil(json.loads(files[name])))
    write_folder(tmp_path / "model", files, SCHEMA)
    with pytest.raises(CheckpointError, match="config, facts and weights must fit each other"):
        Model.load(tmp_path / "model")


def test_any_name_is_a_good_name(make_experiment: MakeExperiment, store: Store) -> None:
    """Among them names of the state's own parts and of a module's attributes."""
    tree = make_experiment().model_dump(mode="json")
    names = dict(zip(("vitals", "codes", "ward"), ("core", "readouts", "values"), strict=True))
    tasks = dict(zip(("sick", "stage"), ("type", "training"), strict=True))
    experiment = make_experiment(
        modalities={new: tree["modalities"][old] for old, new in names.items()},
        tasks={new: tree["tasks"][old] for old, new in tasks.items()},
    )
    torch.manual_seed(0)
    old = build(make_experiment(
        modalities={name: tree["modalities"][name] for name in names},
        tasks={name: tree["tasks"][name] for name in tasks},
    ), store)  # fmt: skip
    facts = replace(
        old.facts,
        modalities={names[name]: spec for name, spec in old.facts.modalities.items()},
        tasks={tasks[name]: spec for name, spec in old.facts.tasks.items()},
    )
    model = Model(experiment, facts)
    batch = batch_for(old, store, FEW)
    renamed = replace(
        batch,
        events={names[name]: events for name, events in batch.events.items()},
        targets={tasks[name]: target for name, target in batch.targets.items()},
    )
    check_model(model, renamed)


class TestModalityDropout:
    @pytest.fixture
    def dropping(self, make_experiment: MakeExperiment, store: Store) -> Model:
        tree = make_experiment().model_dump(mode="json")
        tree["modalities"]["vitals"]["dropout"] = 0.4
        return build(make_experiment(modalities=tree["modalities"]), store).double().eval()

    @staticmethod
    @torch.no_grad()
    def hidden(model: Model, batch: Batch) -> list[bool]:
        """Of each sample, whether its predictions are those without any vitals; else those with."""
        noiseless = replace(batch, timeline=replace(batch.timeline, noise=None))
        found, _ = model.predict_at(batch)
        whole, _ = model.predict_at(noiseless)
        blind, _ = model.predict_at(without_events(noiseless, ["vitals"]))
        hidden = []
        for i in range(len(batch)):
            differ = [float((found["sick"] - other["sick"])[i].abs().max()) for other in (whole, blind)]
            assert min(differ) < 1e-12
            hidden.append(differ[1] < differ[0])
        return hidden

    def test_hides_the_inputs_of_some_samples_and_nothing_else(self, dropping: Model, store: Store) -> None:
        vitals = np.flatnonzero(store.n_events("vitals") > 3)
        assembler = Assembler(store, dropping, tasks=list(dropping.heads))
        batch, plain = assembler.batch(vitals, seed=3), assembler.batch(vitals)
        hidden = self.hidden(dropping, batch)
        assert 0 < sum(hidden) < len(hidden)
        assert torch.equal(batch.timeline.time, plain.timeline.time)
        for task, target in plain.targets.items():
            assert torch.equal(batch.targets[task].where, target.where)
            assert torch.equal(batch.targets[task].value, target.value)

    def test_depends_on_seed_and_sample_alone(self, dropping: Model, store: Store) -> None:
        vitals = np.flatnonzero(store.n_events("vitals") > 3)
        assembler = Assembler(store, dropping, tasks=[])
        expected = self.hidden(dropping, assembler.batch(vitals, seed=3))
        order = np.arange(len(vitals))[::-1][:7]
        again = self.hidden(dropping, assembler.batch(vitals[order], seed=3))
        assert again == [expected[i] for i in order]
        other = self.hidden(dropping, assembler.batch(vitals, seed=4))
        assert other != expected


def test_sample_without_timed_events_has_one_step_at_time_0(model: Model, store: Store) -> None:
    batch = batch_for(model, store, [4])
    assert batch.timeline.time.tolist() == [0.0] and batch.timeline.delta.tolist() == [0.0]
    assert not any(len(batch.events[name]) for name in ("vitals", "codes", "visits"))
    parameters, _ = model.predict_at(batch)
    assert all(bool(torch.isfinite(value).all()) for value in parameters.values())


def test_task_without_labels_and_sample_without_labels(model: Model, store: Store) -> None:
    """Sample 2 has no label from a table; it trains its next events alone."""
    batch = batch_for(model, store, [2])
    assert [len(batch.targets[task]) for task in ("sick", "level", "stage")] == [0, 0, 0]
    assert [batch.weights[task] for task in ("sick", "level", "stage")] == [0, 0, 0]
    assert len(batch.targets["next_vitals"])
    model.zero_grad()
    parameters, _ = model(batch)
    torch.stack(
        [h.loss_sum(parameters[t], batch.targets[t]) for t, h in model.heads.items()]
    ).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if name.startswith("heads.") and name.split(".")[1] in ("sick", "level", "stage"):
            assert not parameter.grad.any(), name
    assert model.core.rnn.weight_hh_l0.grad.any()  # type: ignore[union-attr, operator]
    model.zero_grad()


def test_static_modality_is_known_in_later_chunks(model: Model, batch: Batch) -> None:
    (first, _), (second, _), *_ = batches_of_steps(batch, 3, model.static)
    assert len(first.events["ward"]) and not len(second.events["ward"])
    _, state = model.trunk(first)[1:]
    found, _ = model.see("ward", second.events["ward"], second.timeline, state["modalities"]["ward"])  # type: ignore[index, call-overload]
    whole, _ = model.see("ward", first.events["ward"], first.timeline)
    known = {int(s): whole.values[i] for i, s in enumerate(first.timeline.sample)}
    for row, sample in enumerate(second.timeline.sample.tolist()):
        assert torch.equal(found.values[row], known[sample])


def test_states_have_one_row_a_sample(model: Model, batch: Batch) -> None:
    whole, _ = batch_of(batch, range(len(batch)), model.static)
    whole = replace(whole, timeline=replace(whole.timeline, continues=True))
    flat = flatten(model(whole)[1])
    assert any(name.startswith("modalities/vitals/carry/") for name in flat)
    assert any(name.startswith("core/") for name in flat)
    assert {len(value) for value in flat.values()} == {len(batch)}


def test_predictions_at_steps_need_a_step(model: Model, batch: Batch) -> None:
    with pytest.raises(ValueError, match="a sample has no step in this call; name the steps to read"):
        model.predict_at(idle(batch))


def test_noise_changes_nothing_without_dropout(model: Model, batch: Batch) -> None:
    noisy = replace(batch.timeline, noise=Noise(5, torch.arange(len(batch))))
    expected, _ = model(batch)
    actual, _ = model(replace(batch, timeline=noisy))
    assert all(torch.equal(actual[task], expected[task]) for task in expected)
