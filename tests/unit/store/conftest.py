"""A store of every kind of rows, small enough to be built in each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.sources import Pivot, Reading
from mmseq.sources.memory import MemorySource
from mmseq.store import Plan, Store, prepare

Build = Callable[..., Store]


def tables() -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(3)
    ids = [f"p{i}" for i in range(20)]
    rows = np.sort(rng.integers(0, 20, 100))
    names = [ids[i] for i in rows]
    return {
        "samples": {
            "id": ids,
            "split": ["train", "validation", "test", "train"] * 5,
            "ward": ["n", "s"] * 10,
            "family": ["f", "g", "h", "f"] * 5,
        },
        "vitals": {"id": names, "t": rng.random(100), "hr": rng.normal(size=100), "bp": rng.normal(size=100)},
        "labs": {
            "id": names[::2],
            "t": rng.integers(0, 9, 50),
            "code": list("abc" * 16 + "ab"),
            "value": rng.normal(size=50),
        },
        "drugs": {"id": names[::3], "t": rng.random(34), "drug": [f"d{i % 7}" for i in range(34)]},
        "outcomes": {"id": ids[::2], "y": ["no", "yes"] * 5},
    }


PLAN = Plan(
    {
        "vitals": Reading("vitals", "t", ("hr", "bp")),
        "labs": Reading("labs", "t", pivot=Pivot("code", "value")),
        "drugs": Reading("drugs", "t", codes=("drug",)),
        "ward": Reading("samples", codes=("ward",)),
    },
    {"y": Reading("outcomes", codes=("y",))},
    samples="samples",
    split="split",
)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def build(given: Any = None, plan: Plan = PLAN, shard_events: int = 60, **options: Any) -> Store:
        source = MemorySource(given or tables(), id="id", group=options.pop("group", "family"))
        return prepare(plan, source, tmp_path / "stores", shard_events=shard_events, **options)

    return build
