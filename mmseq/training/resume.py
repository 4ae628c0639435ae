"""What must be the same when a run goes on, and what may change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmseq.bundle import dump_json
from mmseq.config.experiment import Experiment
from mmseq.errors import ConfigError

MAY_CHANGE = {
    "training": (
        "devices",
        "nodes",
        "accelerator",
        "threads",
        "workers",
        "accumulation",
        "checkpoint",
        "log_every",
        "deterministic",
    ),
    "data": ("store", "memory_limit", "shard_events"),
}
"""By section, keys that change neither the order nor, but for rounding, the model.

Where and in what shards data are kept is not part of a store's fingerprint either, which checkpoints hold.
"""


def identity(experiment: Experiment) -> str:
    """The sha256 of everything that decides what is trained."""
    return hashlib.sha256(dump_json(_lasting(experiment))).hexdigest()


def check_same(before: Experiment, now: Experiment) -> None:
    """Raises ConfigError where a run would go on as another one."""
    for key, was, came in _differences(_lasting(before), _lasting(now)):
        free = ", ".join(f"{section}.{name}" for section, names in MAY_CHANGE.items() for name in names)
        raise ConfigError(
            f"--resume: a run goes on as it began; {key} was {was!r}, and {came!r} came; leave it out, or "
            f"start a new run; only these may change: {free}"
        )


def changes(experiment: Experiment) -> list[str]:
    """`--set` arguments that bring the keys that may change into another run's config."""
    tree = experiment.model_dump(mode="json")
    return [
        f"{section}.{key}={json.dumps(tree[section][key], ensure_ascii=False)}"
        for section, keys in MAY_CHANGE.items()
        for key in keys
    ]


def _lasting(experiment: Experiment) -> dict[str, Any]:
    free = {section: set(keys) for section, keys in MAY_CHANGE.items()}
    return experiment.model_dump(mode="json", exclude={"plugins": True, **free})


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in [*before, *(name for name in now if name not in before)]:
            inner = f"{key}.{name}" if key else name
            yield from _differences(before.get(name), now.get(name), inner)
    elif before != now:
        yield key, before, now
