"""Stored samples → a batch, against the tables they came from."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseq.batch import Batch, CategoryEvents, NumericEvents
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.random import hash_key
from mmseq.store import Store

SAMPLES = [8, 4, 20, 2, 8, 5, 6]  # one of them without timed events, one without labels, one twice

Rows = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def model(experiment: Experiment, store: Store) -> Model:
    return Model(experiment, fit(experiment, store, np.arange(len(store))))


@pytest.fixture(scope="module")
def assembler(model: Model, store: Store) -> Assembler:
    return Assembler(store, model, tasks=list(model.heads))


@pytest.fixture(scope="module")
def batch(assembler: Assembler) -> Batch:
    return assembler.batch(np.array(SAMPLES))


def rows(experiment: Experiment, name: str) -> Rows:
    """A table's rows by sample, in order of time."""
    found: Rows = defaultdict(list)
    with (Path(experiment.data.source.root) / name).open() as stream:  # type: ignore[attr-defined]
        for row in csv.DictReader(stream):
            found[row["id"]].append(row)
    return {name: sorted(own, key=lambda row: float(row.get("t", 0))) for name, own in found.items()}


def test_timeline_is_the_sorted_union_of_the_clocks(batch: Batch, experiment: Experiment) -> None:
    tables = [rows(experiment, name) for name in ("vitals.csv", "codes.csv", "visits.csv")]
    starts = [0]
    for i, name in enumerate(batch.ids):
        times = sorted({float(row["t"]) for table in tables for row in table.get(name, [])}) or [0.0]
        steps = slice(starts[-1], starts[-1] + len(times))
        assert batch.timeline.time[steps].tolist() == pytest.approx(times)
        deltas = [0.0, *np.diff(times).tolist()]
        assert batch.timeline.delta[steps].tolist() == pytest.approx(deltas, rel=1e-5), i
        starts.append(steps.stop)
    assert batch.timeline.starts.tolist() == starts
    assert batch.timeline.noise is None and not batch.timeline.continues


def test_numbers_stand_at_their_steps(batch: Batch, experiment: Experiment) -> None:
    events, table = batch.events["vitals"], rows(experiment, "vitals.csv")
    assert isinstance(events, NumericEvents)
    expected = [row for name in batch.ids for row in table.get(name, [])]
    assert len(events) == len(expected)
    for i, row in enumerate(expected):
        assert float(batch.timeline.time[events.step[i]]) == float(row["t"])
        for f, cell in enumerate((row["a"], row["b"])):
            assert bool(events.observed[i, f]) == bool(cell)
            assert float(events.values[i, f]) == pytest.approx(float(cell or 0), rel=1e-6)


def test_codes_are_the_models(batch: Batch, model: Model, experiment: Experiment) -> None:
    events, table = batch.events["codes"], rows(experiment, "codes.csv")
    assert isinstance(events, CategoryEvents)
    words = model.facts.modalities["codes"].vocabularies
    expected = [row for name in batch.ids for row in table.get(name, [])]
    for i, row in enumerate(expected):
        for f, cell in enumerate((row["c"], row["d"])):
            assert int(events.code[i, f]) == (words[f].index(cell) + 2 if cell else 0)


def test_static_events_stand_at_their_samples(batch: Batch) -> None:
    assert batch.events["ward"].step.tolist() == [*range(len(SAMPLES))]
    code = batch.events["ward"].code  # type: ignore[attr-defined]
    assert torch.equal(code[0], code[4])


def test_labels_stand_at_the_last_step_or_at_the_last_before_their_time(
    batch: Batch, experiment: Experiment
) -> None:
    sick, table = batch.targets["sick"], rows(experiment, "labels.csv")
    labelled = [i for i, name in enumerate(batch.ids) if name in table and table[name][0]["sick"]]
    assert sick.where.tolist() == [int(batch.timeline.last[i]) for i in labelled]
    assert sick.value.tolist() == ["abc".index(table[batch.ids[i]][0]["sick"]) for i in labelled]
    times, stages = batch.timeline.time.tolist(), rows(experiment, "stages.csv")
    expected = []
    for i, name in enumerate(batch.ids):
        steps = range(*batch.timeline.starts[i : i + 2].tolist())
        for row in stages.get(name, []):
            before = [step for step in steps if times[step] <= float(row["t"])]
            if row["s"] and before:
                expected.append((before[-1], float(row["s"])))
    stage = batch.targets["stage"]
    assert list(zip(stage.where.tolist(), stage.value[:, 0].tolist(), strict=True)) == expected


def test_weights_are_of_observed_labels(assembler: Assembler, store: Store) -> None:
    batch = assembler.batch(np.arange(len(store)))
    for task in ("sick", "stage"):
        assert batch.weights[task] == len(batch.targets[task])
    level = batch.targets["level"]
    assert level.observed is not None
    assert len(level) < batch.weights["level"] == int(level.observed.sum()) < level.observed.numel()


def test_no_samples(assembler: Assembler) -> None:
    empty = assembler.batch(np.zeros(0, np.int64))
    assert len(empty) == empty.timeline.n_steps == 0
    assert set(empty.weights.values()) == {0.0}


def test_no_tasks_no_targets(store: Store, model: Model) -> None:
    assert Assembler(store, model, tasks=[]).batch(np.array([0])).targets == {}


def test_noise_is_of_the_seed_and_the_sample(assembler: Assembler) -> None:
    one, two = assembler.batch(np.array([3, 8]), 5), assembler.batch(np.array([8]), 5)
    assert one.timeline.noise is not None and two.timeline.noise is not None
    a, b = one.timeline.noise.uniform(1, 4), two.timeline.noise.uniform(1, 4)
    assert torch.equal(a[1], b[0])


@pytest.mark.parametrize("parts", [1, 2, 4, 9])
def test_micro_batches_are_the_global_batch(parts: int, assembler: Assembler) -> None:
    samples = np.array([8, 4, 20, 2, 30, 11])
    whole = assembler.batch(samples, hash_key(0, 1))
    micros = [assembler.micro_batch(samples, part, parts, hash_key(0, 1)) for part in range(parts)]
    assert sorted(name for micro in micros for name in micro.ids) == sorted(whole.ids)
    assert sum(micro.share for micro in micros) == pytest.approx(1)
    for task, weight in whole.weights.items():
        assert all(micro.weights[task] == weight for micro in micros)
        assert sum(len(micro.targets[task]) for micro in micros) == len(whole.targets[task])
    keys = {}
    for micro in micros:
        assert micro.timeline.noise is not None
        keys |= dict(zip(micro.ids, micro.timeline.noise.key.tolist(), strict=True))
    assert whole.timeline.noise is not None
    assert keys == dict(zip(whole.ids, whole.timeline.noise.key.tolist(), strict=True))
