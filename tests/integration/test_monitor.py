"""Which epoch is kept, where what is monitored has no value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmseq
from mmseq.errors import ConfigError

TREE: dict[str, Any] = {
    "name": "monitored",
    "data": {"source": {"kind": "memory"}, "samples": "labels", "split": {"column": "split"}},
    "modalities": {"x": {"kind": "numeric", "table": "x", "time": "t", "columns": ["a"]}},
    "core": {"kind": "gru", "hidden": 4},
    "tasks": {"y": {"kind": "regression", "table": "labels", "column": "y", "loss": "squared"}},
    "training": {"epochs": 2, "accelerator": "cpu"},
}


def _tables(of_validation: float | None) -> dict[str, Any]:
    splits = ["train"] * 6 + ["validation"] * 2
    x = [{"id": str(i), "t": t, "a": i - t} for i in range(8) for t in range(3)]
    y = [1e-3 * i for i in range(6)] + [of_validation] * 2
    labels = [{"id": str(i), "split": split, "y": y[i]} for i, split in enumerate(splits)]
    return {"x": x, "labels": labels}


def _trained(folder: Path, of_validation: float | None) -> mmseq.Run:
    tree = TREE | {"data": TREE["data"] | {"store": str(folder / "stores")}}
    if of_validation is not None:  # else it is refused by name
        tree["training"] = tree["training"] | {"monitor": "y/loss"}
    return mmseq.train(tree, data=_tables(of_validation), output=folder)


@pytest.mark.parametrize("of_validation", [None, 9e18])
def test_an_epoch_that_cannot_be_chosen_is_told(tmp_path: Path, of_validation: float | None) -> None:
    """No label there, or one whose standardised square is beyond float32. Caught: infinity kept; silence."""
    run = _trained(tmp_path, of_validation)
    log = (run.path / "log.txt").read_text()
    assert "warning: no epoch was chosen, and the weights are the last one's" in log
    assert (run.path / "model").is_dir()


def test_a_split_that_is_none_is_told(tmp_path: Path) -> None:
    """Of a run that is named by its folder."""
    run = _trained(tmp_path, 2.0)
    assert "no epoch was chosen" not in (run.path / "log.txt").read_text()
    with pytest.raises(ConfigError, match=r"a split is one of train, validation, test; 'tset' came"):
        mmseq.evaluate(str(run.path), "tset", _tables(2.0))
