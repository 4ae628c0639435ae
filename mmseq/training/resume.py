"""What must be the same when a run goes on, and what may change."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from mmseq.bundle import dump_json
from mmseq.config.experiment import Experiment
from mmseq.errors import ConfigError

MAY_CHANGE = (
    "devices",
    "nodes",
    "accelerator",
    "threads",
    "workers",
    "accumulation",
    "checkpoint",
    "log_every",
    "deterministic",
)
"""Keys of `training` that change neither the order nor, but for rounding, the model."""


def identity(experiment: Experiment) -> str:
    """The sha256 of everything that decides what is trained."""
    return hashlib.sha256(dump_json(_lasting(experiment))).hexdigest()


def check_same(before: Experiment, now: Experiment) -> None:
    """Raises ConfigError where a run would go on as another one."""
    for key, was, came in _differences(_lasting(before), _lasting(now)):
        free = ", ".join(f"training.{name}" for name in MAY_CHANGE)
        raise ConfigError(
            f"--resume: a run goes on as it began; {key} was {was!r}, and {came!r} came; leave it out, or "
            f"start a new run; only these may change: {free}"
        )


def changes(experiment: Experiment) -> list[str]:
    """`--set` arguments that bring the keys that may change into another run's config."""
    section = experiment.training.model_dump(mode="json")
    flat = {f"training.{key}": section[key] for key in MAY_CHANGE if key != "checkpoint"}
    flat |= {f"training.checkpoint.{key}": value for key, value in section["checkpoint"].items()}
    return [f"{key}={'null' if value is None else value}" for key, value in flat.items()]


def _lasting(experiment: Experiment) -> dict[str, Any]:
    tree = experiment.model_dump(mode="json", exclude={"plugins"})
    return {**tree, "training": {k: v for k, v in tree["training"].items() if k not in MAY_CHANGE}}


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            inner = f"{key}.{name}" if key else name
            yield from _differences(before.get(name), now.get(name), inner)
    elif before != now:
        yield key, before, now
