"""Which samples are trained together: a pure function of (seed, epoch)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from mmseq.batch.order import Order, split

RNG = np.random.default_rng(0)
LENGTHS = np.maximum(1, RNG.lognormal(3, 1, 501).astype(np.int64))
SAMPLES = RNG.permutation(10_000)[:501]


def order(**changes: Any) -> Order:
    return Order(**{"samples": SAMPLES, "lengths": LENGTHS, "seed": 3} | changes)


WAYS = [
    {},
    {"size": 7},
    {"bucket": 1},
    {"size": None, "steps": 300},
    {"size": None, "steps": 64, "bucket": 1},
]


@pytest.mark.parametrize("way", WAYS)
def test_each_sample_exactly_once_an_epoch(way: dict[str, Any]) -> None:
    for epoch in range(3):
        members = np.concatenate(order(**way).epoch(epoch))
        assert sorted(members.tolist()) == sorted(SAMPLES.tolist())


@pytest.mark.parametrize("way", WAYS)
def test_pure_function_of_seed_and_epoch(way: dict[str, Any]) -> None:
    def told(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in order(seed=seed, **way).epoch(epoch)]

    np.random.seed(1)
    first = told(3, 5)
    np.random.seed(2)
    assert told(3, 5) == first
    assert told(3, 6) != first
    assert told(4, 5) != first


def test_batches_have_the_size_but_for_the_last() -> None:
    sizes = sorted(len(batch) for batch in order(size=32).epoch(0))
    assert sizes == [501 - 15 * 32, *[32] * 15]


def test_step_budget_is_kept() -> None:
    length = dict(zip(SAMPLES.tolist(), LENGTHS.tolist(), strict=True))
    for batch in order(size=None, steps=100).epoch(1):
        total = sum(length[i] for i in batch.tolist())
        assert total <= 100 or len(batch) == 1
    alone = [b for b in order(size=None, steps=100).epoch(1) if length[int(b[0])] > 100]
    assert len(alone) == int((LENGTHS > 100).sum()) > 0


def test_step_budget_is_used() -> None:
    batches = order(size=None, steps=1000).epoch(0)
    assert len(batches) <= 1.3 * LENGTHS.sum() / 1000


def test_buckets_put_like_lengths_together() -> None:
    """Less padding than in unsorted batches, were they padded; nearly that of a full sort."""
    length = dict(zip(SAMPLES.tolist(), LENGTHS.tolist(), strict=True))

    def padded(batches: list[np.ndarray]) -> int:
        return sum(max(length[i] for i in batch.tolist()) * len(batch) for batch in batches)

    bucketed, loose = padded(order(size=16).epoch(0)), padded(order(size=16, bucket=1).epoch(0))
    ideal = padded(np.array_split(SAMPLES[np.argsort(LENGTHS)], 32))
    assert ideal < bucketed < 0.7 * loose


def test_batches_are_shuffled_though_sorted_within_buckets() -> None:
    length = dict(zip(SAMPLES.tolist(), LENGTHS.tolist(), strict=True))
    means = [np.mean([length[i] for i in batch.tolist()]) for batch in order(size=8).epoch(0)]
    rises = sum(a < b for a, b in pairwise(means))
    assert 0.3 < rises / len(means) < 0.7


@pytest.mark.parametrize("way", WAYS)
def test_no_samples_no_batches(way: dict[str, Any]) -> None:
    none = np.zeros(0, np.int64)
    assert order(samples=none, lengths=none, **way).epoch(0) == []


@pytest.mark.parametrize("parts", [1, 2, 3, 8])
def test_split_is_a_balanced_partition(parts: int) -> None:
    for batch in order(size=32).epoch(0)[:4]:
        lengths = LENGTHS[np.searchsorted(np.sort(SAMPLES), batch)]
        length = dict(zip(batch.tolist(), lengths.tolist(), strict=True))
        found = split(batch, lengths, parts)
        assert len(found) == parts
        assert sorted(np.concatenate(found).tolist()) == sorted(batch.tolist())
        loads = [sum(length[i] for i in part.tolist()) for part in found]
        assert max(loads) - min(loads) <= max(lengths)
        assert max(loads) <= max(lengths.max(), 1.2 * lengths.sum() / parts)


def test_split_is_the_same_again_and_may_leave_parts_empty() -> None:
    batch, lengths = np.array([5, 9]), np.array([3, 4])
    found = [part.tolist() for part in split(batch, lengths, 4)]
    assert found == [[9], [5], [], []]
    assert [part.dtype for part in split(batch, lengths, 4)] == [np.int64] * 4
