"""The numbers of a store, against counting."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from mmseq.sources import Reading
from mmseq.store import Plan, Store, profile


def test_counts(build: Callable[..., Store]) -> None:
    tables = {
        "samples": {"id": ["a", "b", "c", "d"], "age": [30, None, 50, 60]},
        "v": {
            "id": ["a", "a", "a", "b", "c", "q"],
            "t": [0, 1, 9, 0, 2, 0],
            "x": [1.0, None, 3.0, None, 5.0, 6.0],
        },
        "y": {"id": ["a", "b", "c"], "y": ["no", "yes", "no"], "n": [1.0, None, 4.0]},
        "s": {"id": ["a", "c", "c", "c"], "t": [1, 1, 2, 7], "s": [1.0, 2.0, 3.0, 4.0]},
    }
    plan = Plan(
        {"v": Reading("v", "t", ("x",)), "age": Reading("samples", numbers=("age",))},
        {"y": Reading("y", codes=("y",)), "n": Reading("y", numbers=("n",)), "s": Reading("s", "t", ("s",))},
        samples="samples",
        until=5.0,
    )
    store = build(tables, plan, group=None)
    found = profile(store, {"train": np.array([0, 1]), "test": np.array([2, 3])})
    assert json.loads(json.dumps(found)) == found
    assert found["splits"]["train"] == {"samples": 2, "steps": {"sum": 3, "p50": 1.5, "p99": 1.99, "max": 2}}
    v = found["modalities"]["v"]
    assert (v["events"], v["samples_without"], v["missing"]) == (4, 0.25, {"x": 0.5})
    assert v["remarks"] == {"of absent samples": 1, "after until": 1}
    assert found["modalities"]["age"]["missing"] == {"age": 0.25}
    assert found["tasks"]["y"] == {"remarks": {}, "train": {"no": 1, "yes": 1}, "test": {"no": 1, "yes": 0}}
    assert found["tasks"]["n"]["train"] == {"n": {"labels": 1, "min": 1.0, "mean": 1.0, "max": 1.0}}
    assert found["tasks"]["s"]["remarks"] == {"before the first step": 1, "kept after until": 1}
    assert found["tasks"]["s"]["test"]["s"]["labels"] == 2
