"""Samples drawn at set shares, as a pure function of (seed, epoch)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmseq
from mmseq.batch.order import Order
from mmseq.batch.pools import Pool, drawn, pools_of
from mmseq.config.errors import ConfigProblems

FEW, MANY = np.arange(10), np.arange(10, 200)
POOLS = [Pool(FEW, 0.25), Pool(MANY, 0.75)]
LENGTHS = np.random.default_rng(0).integers(1, 50, 200)


def order(**changes: Any) -> Order:
    base = {"samples": np.arange(200), "lengths": LENGTHS, "seed": 3, "size": 16, "pools": POOLS}
    return Order(**base | changes)


def test_shares_hold_in_every_batch() -> None:
    """A quarter of each batch is of the few, give or take what does not divide."""
    for batch in order(bucket=4).epoch(2):
        if len(batch) == 16:
            assert (batch < 10).sum() in (3, 4, 5)


@pytest.mark.parametrize("n_epochs", [1, 7])
def test_all_of_a_pool_come_equally_often(n_epochs: int) -> None:
    found = np.concatenate([drawn(POOLS, 200, 3, epoch)[0] for epoch in range(n_epochs)])
    counts = np.bincount(found, minlength=200)
    assert counts[:10].sum() == 50 * n_epochs and counts[10:].sum() == 150 * n_epochs
    assert np.ptp(counts[:10]) <= 1 and np.ptp(counts[10:]) <= 1


def test_pure_function_of_seed_and_epoch() -> None:
    def told(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in order(seed=seed).epoch(epoch)]

    first = told(3, 5)
    assert told(3, 5) == first and told(3, 6) != first and told(4, 5) != first


@pytest.mark.parametrize("way", [{}, {"bucket": 1}, {"size": None, "steps": 400}])
def test_a_sample_stands_in_a_batch_once(way: dict[str, Any]) -> None:
    """Also where three samples are to be half of sixteen. caught: states by id that overwrite each other."""
    pools = [Pool(np.arange(3), 0.5), Pool(np.arange(3, 200), 0.5)]
    batches = order(pools=pools, **way).epoch(0)
    assert all(len(set(batch.tolist())) == len(batch) for batch in batches)
    assert any({0, 1, 2} <= set(batch.tolist()) for batch in batches)


def test_lengths_are_alike_within_a_batch() -> None:
    loose = np.mean([LENGTHS[batch].std() for batch in order(bucket=1).epoch(0)])
    sorted_ = np.mean([LENGTHS[batch].std() for batch in order(bucket=8).epoch(0)])
    assert sorted_ < 0.7 * loose


def test_as_many_steps_as_without() -> None:
    assert len(order().epoch(0)) == order().n_batches(0) == order(pools=()).n_batches(0)


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, Any]:
    """30 records: every third has a class, one in ten of these is rare; every fifth a number."""
    return {
        "name": "pools",
        "data": {
            "source": {"kind": "memory"},
            "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
            "store": str(tmp_path / "stores"),
        },
        "modalities": {"x": {"kind": "numeric", "table": "x", "time": "time", "columns": ["a"]}},
        "core": {"kind": "gru", "hidden": 4},
        "tasks": {
            "kind": {"kind": "classification", "table": "samples", "column": "kind"},
            "size": {"kind": "regression", "table": "samples", "column": "size"},
        },
        "training": {"epochs": 1, "batch": {"samples": 6}, "threads": 1},
    }


RECORDS = [
    {
        "id": f"r{i:02d}",
        "kind": None if i % 3 else ("rare" if i == 0 else "common"),
        "size": None if i % 5 else float(i),
        "x": [{"time": float(t), "a": float(i + t)} for t in range(3)],
    }
    for i in range(30)
]


def pools(tree: dict[str, Any], **batch: Any) -> tuple[list[Pool], list[int]]:
    """The pools, and which record each of the samples is."""
    experiment = mmseq.load_config(
        {**tree, "training": {**tree["training"], "batch": {"samples": 6, **batch}}}
    )
    stored = mmseq.prepare(experiment, RECORDS)
    samples = np.arange(len(stored))
    found = pools_of(experiment.training.batch, stored, samples, list(stored.tasks))
    return found, [int(id[1:]) for id in stored.ids.tolist()]


def test_labelled(tree: dict[str, Any]) -> None:
    (with_one, without), number = pools(tree, labelled=0.4)
    assert {number[i] for i in with_one.members} == {i for i in range(30) if i % 3 == 0 or i % 5 == 0}
    assert (with_one.share, without.share) == (0.4, 0.6) and len(without.members) == 16


def test_balance(tree: dict[str, Any]) -> None:
    """Both classes alike; samples without a class keep their share."""
    found, _ = pools(tree, balance="kind")
    assert sorted(len(pool.members) for pool in found) == [1, 9, 20]
    assert [round(pool.share, 6) for pool in found] == [round(1 / 6, 6), round(1 / 6, 6), round(2 / 3, 6)]
    assert pools(tree)[0] == []


def test_it_trains(tree: dict[str, Any], tmp_path: Path) -> None:
    experiment = mmseq.load_config(tree, ["training.batch.labelled=0.5"])
    run = mmseq.train(experiment, data=RECORDS, output=tmp_path)
    assert "step 5" in (run.path / "log.txt").read_text()


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ({"balance": "size"}, "training.batch.balance: .*a task whose labels are classes, one a sample"),
        ({"balance": "knd"}, "did you mean 'kind'"),
        ({"balance": "kind", "labelled": 0.5}, "has both `labelled` and `balance`"),
        ({"labelled": 1.0}, "less than 1"),
    ],
)
def test_what_cannot_be_drawn_is_told(tree: dict[str, Any], batch: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigProblems, match=told):
        pools(tree, **batch)


def test_tasks_of_numbers_are_no_tasks_of_classes(tree: dict[str, Any]) -> None:
    """Caught: all that read a column but `regression` were offered, a `count` and a `quantile`, too."""
    more = {name: {**tree["tasks"]["size"], "kind": name} for name in ("count", "mixture")}
    more |= {"quantile": {**tree["tasks"]["size"], "kind": "quantile", "quantiles": [0.1, 0.5]}}
    more |= {"rank": {**tree["tasks"]["kind"], "kind": "ordinal", "order": ["rare", "common", "never"]}}
    with pytest.raises(ConfigProblems, match="came 'count'; there are: kind, rank"):
        pools({**tree, "tasks": tree["tasks"] | more}, balance="count")


def test_nothing_to_choose_between(tree: dict[str, Any]) -> None:
    records = [{**record, "kind": "a", "size": 1.0} for record in RECORDS]
    experiment = mmseq.load_config(tree, ["training.batch.labelled=0.5"])
    stored = mmseq.prepare(experiment, records)
    with pytest.raises(ConfigProblems, match="with and without labels; all have one; leave it out"):
        pools_of(experiment.training.batch, stored, np.arange(30), ["kind"])
