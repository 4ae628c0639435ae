"""Which samples train, which choose, which test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from mmseq.config.experiment import SplitConfig
from mmseq.config.splits import SPLITS
from mmseq.errors import DataError
from mmseq.random import permutation
from mmseq.registry import did_you_mean
from mmseq.store.groups import straddling

if TYPE_CHECKING:
    from mmseq.store import Store

Split = dict[str, Int64[np.ndarray, "_member"]]


def split_samples(config: SplitConfig, store: Store) -> Split:
    """Store indices of each split; no group stands in two of them.

    Raises:
        DataError: the training split is empty, a listed id is unknown or listed twice, or a group
            straddles splits that were given.
    """
    if config.file is not None:
        splits = listed_samples(config.file, store)
    elif config.column is not None:
        splits = {name: np.flatnonzero(store.splits == name) for name in SPLITS}
    else:
        splits = _by_fraction(config, store)
    _check(splits, store, _where(config))
    return splits


def split_ids(splits: Split, store: Store) -> dict[str, list[str]]:
    """The samples' ids, as a split file lists them."""
    return {name: store.ids[samples].tolist() for name, samples in splits.items()}


def _by_fraction(config: SplitConfig, store: Store) -> Split:
    """Whole groups, in shuffled order, until each split has its share of the samples."""
    group = np.arange(len(store.ids)) if store.groups is None else store.groups
    sizes = np.bincount(group)
    order = permutation(len(sizes), config.seed, 2)
    middle = (np.cumsum(sizes[order]) - sizes[order] / 2) / sizes.sum()
    bounds = [config.train, config.train + config.validation]
    of_group = np.empty(len(sizes), np.int64)
    of_group[order] = np.searchsorted(bounds, middle, side="right")
    return {name: np.flatnonzero(of_group[group] == i) for i, name in enumerate(SPLITS)}


def listed_samples(file: Path, store: Store) -> Split:
    """Store indices of the ids that a split file lists. Raises DataError where one is unknown."""
    try:
        listed = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: needs JSON {{train: [ids], …}}; {error}; correct it") from error
    if not (isinstance(listed, dict) and all(isinstance(ids, list) for ids in listed.values())):
        raise DataError(f"{file}: needs JSON {{train: [ids], …}}; {str(listed)[:80]} came; correct it")
    lists = {name: [str(i) for i in ids] for name, ids in listed.items()}
    if strange := [name for name in lists if name not in SPLITS]:
        raise DataError(
            f"{file}: a split is one of {', '.join(SPLITS)}; came {strange[0]!r}"
            f"{did_you_mean(strange[0], SPLITS)}; rename it"
        )
    index = {name: i for i, name in enumerate(store.ids.tolist())}
    for name, ids in lists.items():
        if unknown := [i for i in ids if i not in index]:
            raise DataError(
                f"{file}: {name} lists {len(unknown)} ids that no sample has, first {unknown[0]!r}; drop them"
            )
    return {name: np.array([index[i] for i in lists.get(name, [])], np.int64) for name in SPLITS}


def _where(config: SplitConfig) -> str:
    if config.file is not None:
        return str(config.file)
    return "data.split" if config.column is None else f"data.split, column {config.column!r}"


def _check(splits: Split, store: Store, where: str) -> None:
    if not len(splits["train"]):
        raise DataError(
            f"{where}: the training split needs samples; it has none; check the fractions, column or file"
        )
    members = np.concatenate(list(splits.values()))
    samples, counts = np.unique(members, return_counts=True)
    if counts.max() > 1:
        twice = str(store.ids[samples[counts.argmax()]])
        raise DataError(f"{where}: a sample stands in one split; {twice!r} is listed twice; drop one")
    if store.groups is not None and (found := straddling(store.groups, splits)):
        told = found.tell(store.group_names[found.group], store.ids[list(found.samples)].tolist())
        raise DataError(f"{where}: {told}")
