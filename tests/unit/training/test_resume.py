"""What may change where a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmseq.config.experiment import Experiment
from mmseq.config.load import dump_config, load_config
from mmseq.errors import ConfigError
from mmseq.training.resume import MAY_CHANGE, changes, check_same, identity

Make = Callable[..., Experiment]
FREE: dict[str, Any] = {
    "devices": 2, "nodes": 3, "accelerator": "cpu", "threads": 4, "workers": 2, "accumulation": 4,
    "checkpoint": {"minutes": 2.5, "steps": 7, "keep": 3}, "log_every": 3, "deterministic": False,
}  # fmt: skip
KEPT: dict[str, Any] = {"store": "other: 'ü' #1", "memory_limit": "2.5 GB", "shard_events": 7}


def _changed(make_experiment: Make) -> Experiment:
    """With every key that may change another than it was."""
    data = make_experiment().data.model_dump(mode="json") | KEPT
    return make_experiment(training=FREE, data=data)


def test_what_may_change_leaves_the_identity(make_experiment: Make) -> None:
    """Caught: a key that is free in one place and not in the other."""
    before, now = make_experiment(), _changed(make_experiment)
    for section, free in {"training": FREE, "data": KEPT}.items():
        assert set(free) == set(MAY_CHANGE[section])
        there, came = getattr(before, section), getattr(now, section)
        assert all(getattr(there, key) != getattr(came, key) for key in free)
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


def test_changes_reach_a_run_as_they_are(make_experiment: Make, tmp_path: Path) -> None:
    """Read back as overrides of the other's config they make the same.

    Caught: a missing value that comes as the text None; a folder whose name YAML would read otherwise.
    """
    plain, free = make_experiment(), _changed(make_experiment)
    for before, now in ((plain, free), (free, plain)):
        (tmp_path / "other.yaml").write_text(dump_config(before))
        assert load_config(tmp_path / "other.yaml", changes(now)) == now
