"""Which samples train, which choose, which test."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.config.experiment import SplitConfig
from mmseq.config.splits import SPLITS
from mmseq.errors import DataError
from mmseq.split import Split, split_samples


@dataclass
class Samples:
    """As much of a store as dividing it needs."""

    ids: np.ndarray
    groups: np.ndarray | None = None
    splits: np.ndarray | None = None
    group_names: list[str] = field(default_factory=list)


def samples(n: int, groups: np.ndarray | None = None, splits: list[str] | None = None) -> Samples:
    names = [] if groups is None else [f"g{i}" for i in range(int(groups.max()) + 1)]
    ids = np.array([f"s{i}" for i in range(n)])
    return Samples(ids, groups, None if splits is None else np.array(splits), names)


def divide(store: Samples, **config: Any) -> Split:
    return split_samples(SplitConfig(**config), store)  # type: ignore[arg-type]


def refuse(store: Samples, **config: Any) -> str:
    with pytest.raises(DataError) as caught:
        divide(store, **config)
    return str(caught.value)


def told(splits: Split) -> dict[str, list[int]]:
    return {name: members.tolist() for name, members in splits.items()}


@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.8, 0.2, 0.0), (0.5, 0.0, 0.5), (1.0, 0.0, 0.0)])
def test_fractions(fractions: tuple[float, float, float]) -> None:
    config = dict(zip(SPLITS, fractions, strict=True))
    for n in (100, 997):
        splits = divide(samples(n), **config)
        assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(n))
        for name, share in config.items():
            assert abs(len(splits[name]) - share * n) <= 1, name
            assert share or not len(splits[name])


@pytest.mark.parametrize("seed", range(5))
def test_groups_never_straddle_and_fractions_are_near(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(200), rng.integers(1, 12, 200))).astype(np.int32)
    n = len(groups)
    splits = divide(samples(n, groups), seed=seed)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(n))
    owners = [set(groups[members].tolist()) for members in splits.values()]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    for name, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert abs(len(splits[name]) / n - share) < 12 / n + 1e-9, name


def test_seed_decides() -> None:
    store = samples(200)
    assert told(divide(store)) == told(divide(store))
    assert told(divide(store)) != told(divide(store, seed=1))


def test_samples_are_in_the_order_of_the_store() -> None:
    for members in divide(samples(50)).values():
        assert members.tolist() == sorted(members.tolist())


def test_column() -> None:
    store = samples(4, splits=["train", "test", "train", "validation"])
    splits = divide(store, column="split")
    assert told(splits) == {"train": [0, 2], "validation": [3], "test": [1]}


def test_column_without_training_samples() -> None:
    assert "the training split needs samples" in refuse(samples(2, splits=["test", "test"]), column="split")


def test_group_in_two_given_splits() -> None:
    store = samples(3, np.array([0, 1, 1], np.int32), ["train", "train", "test"])
    message = refuse(store, column="split")
    assert all(
        part in message for part in ("group 'g1' must stand in one split", "train", "'s1'", "test", "'s2'")
    )


def write(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_file(tmp_path: Path) -> None:
    path = write(tmp_path, {"train": ["s2", "s0"], "test": ["s1"]})
    splits = divide(samples(4), file=path)
    assert told(splits) == {"train": [2, 0], "validation": [], "test": [1]}


def test_file_with_numbers_as_ids(tmp_path: Path) -> None:
    store = Samples(np.array(["10", "11"]))
    assert told(divide(store, file=write(tmp_path, {"train": [11]})))["train"] == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"train": ["s0", "x7", "x8"]}, "train lists 2 ids that no sample has, first 'x7'"),
        ({"train": ["s0", "s0"]}, "'s0' is listed twice"),
        ({"train": ["s0"], "test": ["s1", "s0"]}, "'s0' is listed twice"),
        ({"test": ["s0"]}, "the training split needs samples"),
        ({"train": ["s0"], "valdiation": ["s1"]}, "came 'valdiation'; did you mean 'validation'?"),
        (["s0"], "needs JSON {train: [ids], …}; ['s0'] came; correct it"),
        ({"train": 3}, "needs JSON {train: [ids], …}; {'train': 3} came"),
        ({"train": "s0"}, "needs JSON {train: [ids], …}; {'train': 's0'} came"),
        ("{", "needs JSON {train: [ids], …}"),
    ],
)
def test_file_that_breaks_a_rule(content: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    found = refuse(samples(3), file=path)
    assert message in found and found.startswith(f"{path}: ")


def test_missing_file(tmp_path: Path) -> None:
    assert str(tmp_path / "none.json") in refuse(samples(3), file=tmp_path / "none.json")
