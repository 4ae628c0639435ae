"""Values at a horizon: against an oracle in plain Python over the tables themselves, whole and in windows."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mmseq.batch import Batch
from mmseq.batch.ahead import Ahead, within
from mmseq.batch.asked import Asked
from mmseq.batch.assemble import Assembler
from mmseq.batch.horizon import HorizonTargets
from mmseq.batch.loader import windows
from mmseq.batch.maker import Given
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import DataError
from mmseq.fit import fit
from mmseq.heads import heads
from mmseq.inference.evaluate import evaluate_model
from mmseq.model import Model
from mmseq.store import Store
from mmseq.testing.model import check_model

MakeExperiment = Callable[..., Experiment]
HORIZONS = {"a_soon": ("vitals", "a", 0.6), "a_later": ("vitals", "a", 5), "word": ("codes", "c", 3)}
TASKS: dict[str, Any] = {
    "a_soon": {"kind": "regression", "target": {"modality": "vitals", "feature": "a", "horizon": "0.6s"}},
    "a_later": {"kind": "quantile", "target": {"modality": "vitals", "feature": "a", "horizon": "5s"}},
    "word": {"kind": "classification", "target": {"modality": "codes", "feature": "c", "horizon": "3s"}},
}

Label = tuple[Any, Any]
"""What comes, and what was known before it; None where nothing was."""


@pytest.fixture(scope="module")
def ahead(make_experiment: MakeExperiment) -> Experiment:
    return make_experiment(tasks=TASKS)


@pytest.fixture(scope="module")
def assembler(ahead: Experiment, store: Store) -> Assembler:
    torch.manual_seed(0)
    model = Model(ahead, fit(ahead, store, np.arange(len(store)))).double()
    return Assembler(store, model, tasks=list(TASKS), previous=True)


@pytest.fixture(scope="module")
def whole(assembler: Assembler) -> Batch:
    return assembler.batch(np.arange(len(assembler.store)))


def oracle(experiment: Experiment, batch: Batch, task: str) -> dict[tuple[str, float], Label]:
    """By sample and time of the step, read off the tables."""
    name, column, horizon = HORIZONS[task]
    root = Path(experiment.data.source.root)  # type: ignore[attr-defined]
    with (root / f"{name}.csv").open() as stream:
        rows = [(r["id"], float(r["t"]), r[column]) for r in csv.DictReader(stream) if r[column]]
    rows.sort(key=lambda row: row[1])
    labels: dict[tuple[str, float], Label] = {}
    for id, time in places(batch, torch.arange(batch.timeline.n_steps)):
        coming = [v for who, t, v in rows if who == id and time < t <= time + horizon + 1e-9]
        known = [v for who, t, v in rows if who == id and t <= time]
        if coming:
            labels[id, time] = coming[-1], known[-1] if known else None
    return labels


def places(batch: Batch, step: torch.Tensor) -> list[tuple[str, float]]:
    sample, time = batch.timeline.sample[step].tolist(), batch.timeline.time[step].tolist()
    return [(batch.ids[i], t) for i, t in zip(sample, time, strict=True)]


def found(batch: Batch, task: str, assembler: Assembler) -> dict[tuple[str, float], Label]:
    target = batch.targets[task]
    assert target.previous is not None
    classes = getattr(assembler.makers[task].head.spec, "classes", None)

    def told(value: float) -> Any:
        return None if math.isnan(value) else classes[int(value)] if classes else f"{value:.5g}"

    values = target.value if classes else target.value[:, 0]
    labels = zip(map(told, values.tolist()), map(told, target.previous[:, 0].tolist()), strict=True)
    keys = places(batch, target.where)
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, labels, strict=True))


def shown(labels: dict[tuple[str, float], Label], is_number: bool) -> dict[tuple[str, float], Label]:
    def told(value: Any) -> Any:
        return value if value is None or not is_number else f"{np.float32(value):.5g}"

    return {key: (told(value), told(known)) for key, (value, known) in labels.items()}


@pytest.mark.parametrize("task", TASKS)
def test_is_the_last_value_within_the_horizon(
    ahead: Experiment, whole: Batch, assembler: Assembler, task: str
) -> None:
    """Caught: the step's own event as a label."""
    expected = shown(oracle(ahead, whole, task), task != "word")
    assert len(expected) > 50
    assert found(whole, task, assembler) == expected


@pytest.mark.parametrize("width", [1, 3, 7])
def test_windows_have_every_label_of_the_whole(whole: Batch, assembler: Assembler, width: int) -> None:
    """Most lie after the window's end. Caught: gathering the window alone; no memory of what was before."""
    everyone, longest = np.arange(len(assembler.store)), int(assembler.store.lengths.max())
    batches = [assembler.batch(everyone, window=window) for window in windows(longest, width)]
    for task in TASKS:
        expected, parts = found(whole, task, assembler), {}
        for batch in batches:
            own = found(batch, task, assembler)
            assert not parts.keys() & own.keys()
            parts |= own
        assert parts == expected, task
        assert sum(batch.weights[task] for batch in batches) == whole.weights[task] == len(expected)


def test_parts_of_a_batch_know_the_weight_of_the_whole(whole: Batch, assembler: Assembler) -> None:
    everyone = np.arange(len(assembler.store))
    for part in range(3):
        assert assembler.micro_batch(everyone, part, 3, 1).weights == whole.weights
        weights = assembler.micro_batch(everyone, part, 3, 1, (0, 4)).weights
        assert weights == assembler.batch(everyone, window=(0, 4)).weights


def test_bounds_are_exact() -> None:
    """Strictly after the step, and at the horizon's very end, whatever 0.7 + 0.1 is to a computer.

    Caught: no tolerance.
    """
    starts, time = np.array([0, 4, 6]), np.array([0.7, 0.75, 0.8, 0.81, 0.0, 0.05])
    where, row = within(np.array([0, 2, 3, 4, 5]), starts, time, 0.1)
    assert where.tolist() == [0, 1, 2, 4]
    assert row.tolist() == [1, 2, 2, 4]  # not the event of the sample after, nor the step's own


def test_bounds_are_as_fine_as_times_far_from_their_origin_are() -> None:
    """Seconds since 1970. Caught: a tolerance in proportion to the time itself, here of 2 ms."""
    time = 1.7e9 + np.array([0.0, 10.0, 10.001])
    where, row = within(np.arange(3), np.array([0, 3]), time, 10.0)
    assert where.tolist() == [0, 1] and row.tolist() == [1, 2]


def test_facts_are_of_the_training_split(ahead: Experiment, store: Store) -> None:
    train = np.arange(10)
    facts = fit(ahead, store, train)
    values = Ahead.of(store, "a_later", ahead.tasks["a_later"]).values(train).astype(np.float64)  # type: ignore[arg-type]
    assert facts.tasks["a_later"].mean == [pytest.approx(values.mean())]
    assert facts.tasks["a_soon"].columns == ["a"]
    assert facts.tasks["word"].classes == ["p", "q", "r"]


def test_words_that_training_lacks_are_no_labels(ahead: Experiment, assembler: Assembler) -> None:
    spec = heads.component_class("classification").Spec(classes=["p", "q"], counts=[1, 1])
    head = heads.build(ahead.tasks["word"], spec, 4)
    values = np.array([0, 2, 1], np.int32)  # p, r, q
    maker = assembler.makers["word"]
    assert isinstance(maker, HorizonTargets)
    encoded = maker.ahead.encode(head, values)
    assert encoded.row.tolist() == [0, 2] and encoded.value.tolist() == [0, 1]


def test_a_last_word_that_training_lacks_is_unknown_in_windows_too(
    ahead: Experiment, assembler: Assembler
) -> None:
    """Caught: the last word of an earlier window in its place."""
    spec = heads.component_class("classification").Spec(classes=["p", "q"], counts=[1, 1])
    maker, everyone = assembler.makers["word"], np.arange(len(assembler.store))
    assert isinstance(maker, HorizonTargets)
    few = HorizonTargets(heads.build(ahead.tasks["word"], spec, 4), maker.ahead, previous=True)

    def known(window: tuple[int, int] | None) -> dict[tuple[int, int], float]:
        asked = Asked(everyone, window)
        gathered = assembler.store.gather(everyone, ["codes"], [], window)
        target = few.target(Given(asked, gathered, {}, {}))
        sample = np.searchsorted(gathered.starts, target.where.numpy(), side="right") - 1
        place = target.where.numpy() - gathered.starts[sample] + asked.begin
        assert target.previous is not None
        values = target.previous[:, 0].nan_to_num(-1).tolist()
        return dict(zip(zip(sample.tolist(), place.tolist(), strict=True), values, strict=True))

    whole, parts = known(None), {}
    for window in windows(int(assembler.store.lengths.max()), 2):
        assert window is not None
        parts |= known(window)
    assert parts == whole and {-1.0, 0.0, 1.0} == set(whole.values())


def test_the_whole_model_keeps_its_contract(ahead: Experiment, store: Store) -> None:
    torch.manual_seed(0)
    model = Model(ahead, fit(ahead, store, np.arange(len(store)))).double()
    check_model(model, Assembler(store, model, tasks=list(TASKS)).batch(np.array([4, 7, 10, 28, 19])))


def test_the_baseline_is_the_last_value(ahead: Experiment, store: Store, whole: Batch) -> None:
    model = Model(ahead, fit(ahead, store, np.arange(len(store)))).double()
    report = evaluate_model(model, store, np.arange(len(store)))["a_soon"]
    mean = model.facts.tasks["a_soon"].mean[0]
    pairs = oracle(ahead, whole, "a_soon").values()
    errors = [abs(float(v) - (mean if known is None else float(known))) for v, known in pairs]
    assert report["labels"] == len(errors)
    assert report["baseline"]["mae"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_until_hides_what_comes_after_it(make_experiment: MakeExperiment, tmp_path: Path) -> None:
    """Caught: labels read from the source rather than from the store."""
    tree = make_experiment(tasks=TASKS).model_dump(mode="json")["data"]
    for until in (3.0, 100.0):
        experiment = make_experiment(tasks=TASKS, data=tree | {"until": until, "store": str(tmp_path)})
        store = prepare(experiment)
        values = Ahead.of(store, "a_later", experiment.tasks["a_later"])  # type: ignore[arg-type]
        gathered = store.gather(np.arange(len(store)), ["vitals"], [])
        step, _ = values.read(gathered.events["vitals"])
        _, row = within(step, gathered.starts, gathered.time, values.horizon)
        latest = gathered.time[step[row]].max()
        assert latest <= 3 if until == 3 else latest > 3


def tree_of(**target: str) -> dict[str, Any]:
    given = {"modality": "vitals", "feature": "a", "horizon": "1h", **target}
    return {"y": {"kind": "regression", "target": given}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": tree_of(modality="ward")}, "must name a modality with a clock; came 'ward', which has no"),
        ({"tasks": tree_of(feature="c")}, "must name a column of modality 'vitals'; came 'c'"),
        ({"tasks": tree_of(modality="codes")}, "must have numbers in columns, as 'regression' reads"),
        ({"tasks": tree_of(horizon="soon")}, "needs a number with its unit"),
        ({"tasks": tree_of(horizon="0h")}, "needs some time; '0h' came"),
        ({"tasks": {"y": tree_of()["y"] | {"table": "t"}}}, "both `target` and `table`"),
        ({"tasks": {"y": tree_of()["y"] | {"column": "a"}}}, "both `target` and `column`"),
        ({"core": {"kind": "bidirectional", "core": {"kind": "gru", "hidden": 3}}}, "choose a causal core"),
    ],
)
def test_what_cannot_be_is_told(make_experiment: MakeExperiment, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_experiment(**{"tasks": tree_of(), **changes})


def test_a_code_that_no_row_has_is_told(make_experiment: MakeExperiment, store: Store) -> None:
    target = heads.parse(tree_of(feature="hr")["y"])
    with pytest.raises(
        DataError, match=r"tasks.y.target.feature: must be .*'vitals'; 'hr' came; there are: a, b"
    ):
        Ahead.of(store, "y", target)  # type: ignore[arg-type]
