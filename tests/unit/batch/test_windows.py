"""A batch window after window: the same labels, outputs and last values as the whole."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from mmseq.batch import Batch, Target
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import windows
from mmseq.carried import Carried
from mmseq.config.experiment import Experiment
from mmseq.errors import CheckpointError
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.store import Store

SAMPLES = np.arange(14)
WIDTHS = [1, 3, 4, 50]


@pytest.fixture(scope="module")
def model(experiment: Experiment, store: Store) -> Model:
    torch.manual_seed(0)
    return Model(experiment, fit(experiment, store, np.arange(36))).double().eval()


@pytest.fixture(scope="module")
def assembler(model: Model, store: Store) -> Assembler:
    return Assembler(store, model, tasks=list(model.heads), previous=True)


def _parts(assembler: Assembler, width: int, seed: int | None = None) -> list[Batch]:
    longest = int(assembler.store.lengths[SAMPLES].max())
    return [assembler.batch(SAMPLES, seed, window) for window in windows(longest, width)]


Key = tuple[int, int, int]


def _labels(batch: Batch, task: str) -> dict[Key, Target]:
    """Each label by its sample, its place in it, and which of the labels there it is."""
    target, timeline = batch.targets[task], batch.timeline
    sample = timeline.sample[target.where]
    place = target.where - timeline.starts[sample] + batch.begin
    labels: dict[Key, Target] = {}
    seen: Counter[tuple[int, int]] = Counter()
    for i, at in enumerate(zip(sample.tolist(), place.tolist(), strict=True)):
        labels[(*at, seen[at])] = target.take(torch.tensor([i]))
        seen[at] += 1
    return labels


@pytest.mark.parametrize("width", WIDTHS)
def test_has_each_label_once(assembler: Assembler, width: int) -> None:
    whole, parts = assembler.batch(SAMPLES), _parts(assembler, width)
    for task in whole.targets:
        expected = _labels(whole, task)
        assert len(expected) == len(whole.targets[task]) > 0
        found: dict[Key, Target] = {}
        for part in parts:
            labels = _labels(part, task)
            assert not found.keys() & labels.keys()
            found |= labels
        assert found.keys() == expected.keys(), task
        for key, label in expected.items():
            for name in ("value", "observed", "previous", "wait"):
                a, b = getattr(found[key], name), getattr(label, name)
                if name == "observed":  # None: all are
                    a, b = (torch.ones_like(label.value).bool() if x is None else x for x in (a, b))
                assert (a is None) == (b is None), (task, name)
                if b is not None:
                    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
        weight = sum(part.weights[task] for part in parts)
        assert weight == pytest.approx(whole.weights[task])


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("width", WIDTHS)
def test_gives_what_the_whole_gives(model: Model, assembler: Assembler, width: int, seed: int | None) -> None:
    whole = assembler.batch(SAMPLES, seed)
    expected, _ = model(whole)
    carried, found = Carried(), []
    parts = _parts(assembler, width, seed)
    for part in parts:
        found.append((part, carried.run(model, part)))
    assert not carried.states  # the last window hands nothing on
    for task in expected:
        places = list(_labels(whole, task))
        rows = dict(zip(places, expected[task], strict=True))
        for part, outputs in found:
            for key, row in zip(_labels(part, task), outputs[task], strict=True):
                torch.testing.assert_close(row, rows.pop(key), rtol=0, atol=1e-10)
        assert not rows


def _early(experiment: Experiment, model: Model) -> Model:
    """The same, supervised at every step."""
    training = experiment.training.model_copy(update={"supervise": "every_step"})
    early = Model(experiment.model_copy(update={"training": training}), model.facts).double()
    early.load_state_dict(model.state_dict())
    return early


def test_a_part_without_samples_knows_the_weights_of_the_whole(
    experiment: Experiment, model: Model, store: Store
) -> None:
    """Caught: weights that each part worked out for itself, of samples that it has not."""
    early = _early(experiment, model)
    assembler = Assembler(store, early, tasks=list(early.heads))
    whole = assembler.batch(SAMPLES, 1, (0, 3))
    parts = [assembler.micro_batch(SAMPLES, part, 20, 1, (0, 3)) for part in range(20)]
    assert min(len(part.ids) for part in parts) == 0
    assert all(part.weights == whole.weights for part in parts)
    assert not any(assembler.batch(SAMPLES[:0], 1, (0, 3)).weights.values())


@pytest.mark.parametrize("width", [3, 50])
def test_early_labels_stand_at_every_step_and_weigh_as_much(
    experiment: Experiment, model: Model, store: Store, width: int
) -> None:
    early = _early(experiment, model)
    assembler = Assembler(store, early, tasks=list(early.heads))
    last = assembler.batch(SAMPLES)  # evaluation: at the last step, as ever
    parts = _parts(assembler, width, seed=1)
    for task in ("sick", "level"):
        own = [float(early.heads[task].weights(part.targets[task]).sum()) for part in parts]
        assert sum(own) == pytest.approx(last.weights[task], rel=1e-6)
        even = last.weights[task] / len(parts)  # of every window that has any
        assert [part.weights[task] for part in parts] == pytest.approx([even * (w > 0) for w in own])
        lengths = store.lengths[SAMPLES]
        labelled = last.timeline.sample[last.targets[task].where].tolist()
        assert sum(len(part.targets[task]) for part in parts) == sum(lengths[i] for i in labelled)
    assert sum(len(p.targets["stage"]) for p in parts) == len(last.targets["stage"])
    carried = Carried()
    at = torch.arange(last.timeline.n_steps)
    expected, _ = early.predict_at(last, at)
    for part in parts:
        outputs, timeline = carried.run(early, part), part.timeline
        target = part.targets["sick"]
        sample = timeline.sample[target.where]
        step = last.timeline.starts[sample] + part.begin + target.where - timeline.starts[sample]
        torch.testing.assert_close(outputs["sick"], expected["sick"][step], rtol=0, atol=1e-10)


def test_no_gradient_goes_back_to_an_earlier_window(model: Model, assembler: Assembler) -> None:
    first, second, *_ = _parts(assembler, 3)
    carried = Carried()
    carried.run(model, first)
    assert list(carried.states) == first.ids
    assert not any(row["core/hidden"].requires_grad for row in carried.states.values())
    outputs = carried.run(model, second)
    assert outputs["sick"].requires_grad


def test_a_window_without_the_one_before_is_an_error(model: Model, assembler: Assembler) -> None:
    with pytest.raises(CheckpointError, match=r"sample 'p0', step 3: goes on from the window before"):
        Carried().run(model, _parts(assembler, 3)[1])


@pytest.mark.parametrize("n_parts", [3, 20])
def test_parts_of_a_global_batch_go_on_together(model: Model, assembler: Assembler, n_parts: int) -> None:
    """A part that is empty, or whose samples have all ended, goes on as long as another part does."""
    longest = int(assembler.store.lengths[SAMPLES].max())
    carried = Carried()
    total = dict.fromkeys(model.heads, 0)
    for window in windows(longest, 3):
        for part in range(n_parts):
            batch = assembler.micro_batch(SAMPLES, part, n_parts, 1, window)
            carried.run(model, batch)
            for task, target in batch.targets.items():
                total[task] += len(target)
    assert not carried.states
    assert total == {task: len(t) for task, t in assembler.batch(SAMPLES).targets.items()}


def test_states_fit_any_other_division(model: Model, assembler: Assembler) -> None:
    """As after a change of accumulation: states are of samples, not of batches."""
    whole, parts = Carried(), Carried()
    for part in range(3):
        parts.run(model, assembler.micro_batch(SAMPLES, part, 3, 1, (0, 3)))
    first = assembler.batch(SAMPLES, 1, (0, 3))
    whole.run(model, first)
    second = assembler.batch(SAMPLES, 1, (3, 6))
    expected, found = whole.run(model, second), parts.run(model, second)
    for task, value in expected.items():
        torch.testing.assert_close(found[task], value, rtol=0, atol=1e-10)


def test_a_long_sample_counts_no_more_than_a_short_one(
    experiment: Experiment, model: Model, store: Store
) -> None:
    """Early labels: over all windows, each sample has the same share of the loss."""
    training = experiment.training.model_copy(update={"supervise": "every_step"})
    early = Model(experiment.model_copy(update={"training": training}), model.facts)
    assembler = Assembler(store, early, tasks=["sick"])
    shares: Counter[str] = Counter()
    for part in _parts(assembler, 3, seed=1):
        target, weight = part.targets["sick"], part.weights["sick"]
        for where, own in zip(target.where, early.heads["sick"].weights(target), strict=True):
            shares[part.ids[int(part.timeline.sample[where])]] += float(own) / weight
    assert len(shares) > 5
    assert max(shares.values()) == pytest.approx(min(shares.values()), rel=1e-5)
