"""The merged clock, and what a batch checks about its parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmseq.batch import Batch, CategoryEvents, NumericEvents, Target, Timeline
from mmseq.random import Noise

STARTS = torch.tensor([0, 2, 2, 5])
TIME = torch.tensor([0.0, 1.0, 0.0, 4.0, 9.0], dtype=torch.float64)
DELTA = torch.tensor([0.0, 1.0, 0.0, 4.0, 5.0])


def test_what_follows_from_starts() -> None:
    timeline = Timeline(STARTS, TIME, DELTA)
    assert (timeline.n_samples, timeline.n_steps) == (3, 5)
    assert timeline.lengths.tolist() == timeline.lengths_list == [2, 0, 3]
    assert timeline.sample.tolist() == [0, 0, 2, 2, 2]
    assert timeline.last.tolist() == [1, 1, 4]


def test_moves_with_its_noise() -> None:
    timeline = Timeline(STARTS, TIME, DELTA, True, Noise(1, torch.arange(3))).to("meta")
    assert timeline.noise is not None and timeline.continues
    tensors = (timeline.starts, timeline.time, timeline.delta, timeline.noise.key)
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_batch_moves_with_everything() -> None:
    events = {
        "n": NumericEvents(torch.tensor([0]), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool)),
        "c": CategoryEvents(torch.tensor([0]), torch.zeros(1, 1, dtype=torch.int64)),
    }
    target = Target(torch.tensor([1]), torch.zeros(1, 2), weight=torch.ones(1))
    batch = Batch(["a", "b", "c"], Timeline(STARTS, TIME, DELTA), events, {"t": target}, {"t": 1.0}, 0.5)
    moved = batch.to("meta")
    tensors = [
        value
        for part in (moved.timeline, *moved.events.values(), *moved.targets.values())
        for value in vars(part).values()
        if isinstance(value, torch.Tensor)
    ]
    assert len(tensors) == 3 + 3 + 2 + 3 and all(tensor.is_meta for tensor in tensors)
    assert (moved.ids, moved.weights, moved.share) == (["a", "b", "c"], {"t": 1.0}, 0.5)


def step(*values: int) -> torch.Tensor:
    return torch.tensor(values)


BROKEN: list[tuple[Callable[[], object], str]] = [
    (lambda: Timeline(STARTS, TIME, DELTA, noise=Noise(1, step(1))), "one key per sample"),
    (lambda: Batch(["a"], Timeline(STARTS, TIME, DELTA), {}), "1 ids for 3 samples"),
    (lambda: Timeline(STARTS, TIME, DELTA[:4]), "time and delta need the same shape"),
    (lambda: Timeline(STARTS.int(), TIME, DELTA), "Timeline.starts: needs int64"),
    (lambda: Target(step(0).float(), torch.zeros(1)), "Target.where: needs int64"),
    (
        lambda: Target(step(0), torch.zeros(1, 2), torch.ones(1, 1, dtype=torch.bool)),
        "Target.observed: needs the shape of Target.value",
    ),
    (lambda: Target(step(0, 1), torch.zeros(3)), "Target.value: has 3 rows for 2 labels"),
    (lambda: Target(step(0, 1), torch.zeros(2), weight=torch.ones(1)), "Target.weight: has 1 rows"),
    (
        lambda: CategoryEvents(step(0, 1), torch.zeros(3, 1, dtype=torch.int64)),
        "CategoryEvents.code: has 3 rows for 2 events",
    ),
]


@pytest.mark.parametrize(("make", "message"), BROKEN)
def test_parts_that_disagree_are_an_error(make: Callable[[], object], message: str, unchecked: None) -> None:
    with pytest.raises(ValueError, match=message):
        make()
