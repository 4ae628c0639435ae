"""Batches of a run, from wherever an earlier sitting stopped."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import Micro, evaluation_loader
from mmseq.batch.order import Order
from mmseq.config.experiment import Experiment, TrainingConfig
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.store import Store
from mmseq.training.feed import Feed


@pytest.fixture(scope="module")
def assembler(experiment: Experiment, store: Store) -> Assembler:
    model = Model(experiment, fit(experiment, store, np.arange(len(store))))
    return Assembler(store, model, tasks=list(model.heads))


def _feed(assembler: Assembler, step: int = 0, **options: Any) -> Feed:
    samples = np.arange(30)
    config = TrainingConfig(epochs=3, **options)
    order = Order(samples, assembler.store.lengths[samples], seed=7, size=8)
    return Feed(assembler, order, np.arange(30, 36), config, 7, step)


def _micros(feed: Feed, epoch: int) -> list[Micro]:
    return feed.batches(epoch).dataset.micros  # type: ignore[attr-defined]


def _told(micros: list[Micro]) -> list[tuple[int, int, list[int]]]:
    return [(m.step, m.part, m.samples.tolist()) for m in micros]


def test_counts_the_steps_of_the_whole_run(assembler: Assembler) -> None:
    assert _feed(assembler).total_steps == 3 * 4
    assert _feed(assembler, step=5).total_steps == 3 * 4


@pytest.mark.parametrize("accumulation", [1, 3])
@pytest.mark.parametrize("step", range(12))
def test_goes_on_where_it_stopped(assembler: Assembler, step: int, accumulation: int) -> None:
    whole = _feed(assembler, accumulation=accumulation)
    expected = [m for epoch in range(3) for m in _told(_micros(whole, epoch)) if m[0] >= step]
    rest = _feed(assembler, step, accumulation=accumulation)
    assert rest.first_epoch == step // 4
    came = [m for epoch in range(rest.first_epoch, 3) for m in _told(_micros(rest, epoch))]
    assert came == expected
    assert [m[0] for m in came] == sorted(m[0] for m in came)


def test_the_trainer_counts_epochs_from_where_it_began(assembler: Assembler) -> None:
    feed = _feed(assembler, step=6)
    feed.trainer = SimpleNamespace(current_epoch=1)  # type: ignore[assignment]
    assert _told(feed.train_dataloader().dataset.micros) == _told(_micros(_feed(assembler), 2))  # type: ignore[attr-defined]


def test_each_epoch_has_every_sample_once_in_an_order_of_its_own(assembler: Assembler) -> None:
    feed = _feed(assembler)
    epochs = [np.concatenate([m.samples for m in _micros(feed, epoch)]).tolist() for epoch in range(3)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_micro_batches_share_the_weights_of_the_whole(assembler: Assembler) -> None:
    (whole, *_), parts = _feed(assembler).batches(0), list(_feed(assembler, accumulation=3).batches(0))[:3]
    assert sorted(id for part in parts for id in part.ids) == sorted(whole.ids)
    assert sum(part.share for part in parts) == pytest.approx(1)
    for part in parts:
        assert part.weights == whole.weights
    for task, target in whole.targets.items():
        assert sum(len(part.targets[task]) for part in parts) == len(target)


def test_noise_depends_on_the_step_and_the_sample_alone(assembler: Assembler) -> None:
    """The mask of a sample is the same in the whole batch and in a part of it."""
    (whole, *_), parts = _feed(assembler).batches(0), list(_feed(assembler, accumulation=3).batches(0))[:3]
    masks = dict(zip(whole.ids, whole.timeline.noise.uniform(3, 5).tolist(), strict=True))
    for part in parts:
        assert (
            dict(zip(part.ids, part.timeline.noise.uniform(3, 5).tolist(), strict=True)).items()
            <= masks.items()
        )
    again, other = list(_feed(assembler).batches(0))[:2]
    assert dict(zip(again.ids, again.timeline.noise.uniform(3, 5).tolist(), strict=True)) == masks
    assert other.timeline.noise.seed != whole.timeline.noise.seed


def test_evaluation_has_each_sample_once_by_length_and_no_noise(assembler: Assembler) -> None:
    samples = np.arange(36)[::-1].copy()
    batches = list(evaluation_loader(assembler, samples, size=10))
    assert [len(batch) for batch in batches] == [10, 10, 10, 6]
    assert sorted(id for batch in batches for id in batch.ids) == sorted(f"p{i}" for i in range(36))
    lengths = [n for batch in batches for n in batch.timeline.lengths_list]
    assert lengths == sorted(lengths)
    assert all(batch.timeline.noise is None for batch in batches)


def test_without_validation_samples_there_is_nothing_to_validate_on(assembler: Assembler) -> None:
    feed = _feed(assembler)
    assert len(list(feed.val_dataloader())) == 1
    feed.validation = np.arange(0)
    assert feed.val_dataloader() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_leave_signals_to_their_parent(assembler: Assembler, number: signal.Signals) -> None:
    """As where all processes of a group are asked to stop, and the parent has a checkpoint to write.

    Caught: workers that end at once, which the parent takes for a crash.
    """
    samples = np.arange(36)
    batches = iter(evaluation_loader(assembler, samples, size=2, workers=1))
    ids = list(next(batches).ids)  # by now the worker is at work
    (worker,) = batches._workers
    os.kill(worker.pid, number)
    ids += [id for batch in batches for id in batch.ids]
    assert len(ids) == len(samples)
