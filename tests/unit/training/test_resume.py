"""What may change where a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mmseq.config.experiment import Experiment
from mmseq.config.training import TrainingConfig
from mmseq.errors import ConfigError
from mmseq.training.resume import MAY_CHANGE, changes, check_same, identity

Make = Callable[..., Experiment]
FREE: dict[str, Any] = {
    "devices": 2, "nodes": 3, "accelerator": "cpu", "threads": 4, "workers": 2, "accumulation": 4,
    "checkpoint": {"minutes": 2.5, "steps": 7, "keep": 3}, "log_every": 3, "deterministic": False,
}  # fmt: skip


def test_what_may_change_leaves_the_identity(make_experiment: Make) -> None:
    """Caught: a key that is free in one place and not in the other."""
    before, now = make_experiment(), make_experiment(training=FREE)
    assert set(FREE) == set(MAY_CHANGE) <= set(TrainingConfig.model_fields)
    check_same(before, now)
    assert identity(before) == identity(now)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 5}, "seed was 0, and 5 came"),
        ({"training": {"optimizer": {"lr": 0.5}}}, "training.optimizer.lr was 0.001, and 0.5 came"),
        ({"training": {"batch": {"samples": 5}}}, "training.batch.samples was None, and 5 came"),
        ({"training": {"window": 5}}, "training.window was None, and 5 came"),
        ({"training": {"precision": "64-true"}}, "training.precision was '32-true', and '64-true' came"),
        ({"core": {"kind": "lstm", "hidden": 5}}, "core.kind was 'gru', and 'lstm' came"),
    ],
)
def test_anything_else_is_told_with_what_it_was(
    make_experiment: Make, changed: dict[str, Any], told: str
) -> None:
    """Caught: keys that are only in one of the two passed over."""
    before, now = make_experiment(), make_experiment(**changed)
    with pytest.raises(ConfigError) as error:
        check_same(before, now)
    assert told in str(error.value) and "only these may change: training.devices" in str(error.value)
    assert identity(before) != identity(now)


def test_changes_reach_a_run_as_they_are(make_experiment: Make) -> None:
    """Read back as overrides of the other's config they make the same.

    Caught: a missing value that comes as the text None.
    """
    for training in (FREE, {}):
        tree = make_experiment(training=training).model_dump(mode="json")["training"]
        told = dict(change.split("=", 1) for change in changes(make_experiment(training=training)))
        flat = {f"training.{key}": tree[key] for key in MAY_CHANGE if key != "checkpoint"}
        flat |= {f"training.checkpoint.{key}": value for key, value in tree["checkpoint"].items()}
        assert told == {key: "null" if value is None else str(value) for key, value in flat.items()}
