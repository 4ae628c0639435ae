"""Samples drawn at set shares: labelled beside unlabelled ones, or each class as often as any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.training import BatchConfig
from mmseq.random import permutation

if TYPE_CHECKING:
    from mmseq.store import Store

Places = Int64[np.ndarray, "_"]


@dataclass(frozen=True)
class Pool:
    """Samples of which a share of every batch is drawn.

    Attributes:
        members: their places among the samples that are trained on.
        share: of each batch.
    """

    members: Places
    share: float


def drawn(pools: Sequence[Pool], n: int, seed: int, epoch: int) -> tuple[Places, Places]:
    """The samples of an epoch, spread evenly: by place, and which pool each came from.

    A pool is gone through again and again, each time in another order, and goes on in the next epoch where it
    left off: within a pool all samples are drawn equally often, give or take one.

    Args:
        pools: what to draw from.
        n: how many to draw.
        seed, epoch: all that the order depends on.
    """
    quotas = _apportioned(np.array([pool.share for pool in pools]), n)
    members, sources, when = [], [], []
    for i, (pool, quota) in enumerate(zip(pools, quotas.tolist(), strict=True)):
        members.append(pool.members[_cycle(len(pool.members), epoch * quota, quota, seed, i)])
        sources.append(np.full(quota, i))
        when.append((np.arange(quota) + 0.5) / max(quota, 1))
    order = np.argsort(np.concatenate(when), kind="stable")
    return np.concatenate(members)[order], np.concatenate(sources)[order]


def _cycle(size: int, first: int, n: int, seed: int, pool: int) -> Places:
    """Places first, …, first + n - 1 of one permutation after another."""
    if not n:
        return np.zeros(0, np.int64)
    rounds = range(first // size, (first + n - 1) // size + 1)
    whole = np.concatenate([permutation(size, seed, pool, i, 2) for i in rounds])
    start = first - rounds[0] * size
    return whole[start : start + n]


def _apportioned(shares: Float[np.ndarray, "pool"], n: int) -> Int64[np.ndarray, "pool"]:
    """Whole numbers near share · n, which sum to n: the largest remainders are rounded up."""
    exact = shares / shares.sum() * n
    whole = np.floor(exact).astype(np.int64)
    most = np.argsort(whole - exact, kind="stable")[: n - int(whole.sum())]
    whole[most] += 1
    return whole


def pools_of(
    config: BatchConfig, store: Store, samples: Int64[np.ndarray, "sample"], tasks: Sequence[str]
) -> list[Pool]:
    """What the configuration asks to draw from; none: every sample once an epoch.

    Args:
        config: how batches are put together.
        store: holds the labels.
        samples: that are trained on.
        tasks: those of which a label counts.

    Raises:
        ConfigProblems: there is nothing to choose between.
    """
    if config.labelled is not None:
        has = np.zeros(len(samples), bool)
        for task in tasks:
            has |= _labels_of(store, task, samples) != _NONE
        if has.all() or not has.any():
            which = "all" if has.all() else "none"
            raise _problem("labelled", f"chooses between samples with and without labels; {which} have one")
        with_one, without = np.flatnonzero(has), np.flatnonzero(~has)
        return [Pool(with_one, config.labelled), Pool(without, 1 - config.labelled)]
    if config.balance is not None:
        label = _labels_of(store, config.balance, samples)
        known = [np.flatnonzero(label == one) for one in np.unique(label[label != _NONE])]
        if not known:
            raise _problem("balance", f"task {config.balance!r} has no label in the training split")
        without, share = np.flatnonzero(label == _NONE), float((label != _NONE).mean())
        rest = [Pool(without, 1 - share)] if len(without) else []
        return [*(Pool(members, share / len(known)) for members in known), *rest]
    return []


_NONE = -1


def _labels_of(store: Store, task: str, samples: Int64[np.ndarray, "sample"]) -> Int64[np.ndarray, "sample"]:
    """The code of each sample's first label; 0 of one that is a number, -1 where there is none."""
    rows = store.gather(samples, [], [task], times=False).targets[task]
    if "code" in rows.arrays:
        value = rows.arrays["code"][:, 0].astype(np.int64)
    else:
        value = np.where(np.isnan(rows.arrays["values"]).all(1), _NONE, 0)
    sample = np.repeat(np.arange(len(samples)), np.diff(rows.starts))
    found = np.full(len(samples), _NONE)
    there = np.flatnonzero(value != _NONE)[::-1]  # the first is written last
    found[sample[there]] = value[there]
    return found


def _problem(key: str, message: str) -> ConfigProblems:
    return ConfigProblems([Problem(("training", "batch", key), f"{message}; leave it out")])
