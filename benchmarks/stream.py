"""One live event against its bare arithmetic, and many ids in one call against one at a time; JSON lines.

    python benchmarks/stream.py

Two numeric modalities, a GRU of 128, three tasks. The bare side is a `GRUCell` and three linear layers on
inputs that are ready: no raw values, no clock, no names in what comes out.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import mmseq
from mmseq.data import prepare
from mmseq.fit import fit
from mmseq.model import Model

ROUNDS, EVENTS, IDS, HIDDEN = 11, 100, 1_000, 128


def build(folder: str) -> Model:
    """A model of two clocks and three tasks, as it is before training."""
    random = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {"motion": [], "heat": [], "labels": []}
    for i in range(40):
        for t in range(20):
            tables["motion"].append({"id": i, "time": float(t), "x": random.normal(), "y": random.normal()})
            tables["heat"].append({"id": i, "time": float(t), "z": random.normal()})
        label = {"kind": "ab"[i % 2], "amount": random.normal(), "p": i % 2, "q": int(i % 3 == 0)}
        tables["labels"].append({"id": i, **label})
    experiment = mmseq.load_config(
        {
            "name": "stream",
            "data": {
                "source": {"kind": "memory"},
                "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
                "store": folder,
            },
            "modalities": {
                "motion": {"kind": "numeric", "table": "motion", "time": "time", "columns": ["x", "y"]},
                "heat": {"kind": "numeric", "table": "heat", "time": "time", "columns": ["z"]},
            },
            "core": {"kind": "gru", "hidden": HIDDEN},
            "tasks": {
                "kind": {"kind": "classification", "table": "labels", "column": "kind"},
                "amount": {"kind": "regression", "table": "labels", "column": "amount"},
                "flags": {"kind": "multilabel", "table": "labels", "columns": ["p", "q"]},
            },
        }
    )
    store = prepare(experiment, tables)
    return Model(experiment, fit(experiment, store, np.arange(len(store))))


class Bare:
    """The arithmetic alone."""

    def __init__(self, width: int) -> None:
        self.cell = nn.GRUCell(width, HIDDEN)
        self.heads = [nn.Linear(HIDDEN, n) for n in (1, 1, 2)]
        self.x, self.hidden = torch.randn(1, width), torch.zeros(1, HIDDEN)

    @torch.inference_mode()
    def step(self) -> list[torch.Tensor]:
        self.hidden = self.cell(self.x, self.hidden)
        return [head(self.hidden) for head in self.heads]


def seconds(function: Callable[[], object], n: int) -> float:
    """Of one call, over n of them."""
    begin = time.perf_counter()
    for _ in range(n):
        function()
    return (time.perf_counter() - begin) / n


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model = build(folder)
    stream, bare, clock = mmseq.Stream(model), Bare(model.fusion.width), iter(range(10**9))
    values = {"motion": {"x": 1.0, "y": 2.0}, "heat": 0.3}
    ids = [f"id{i}" for i in range(IDS)]

    def single() -> object:
        return stream.push("one", float(next(clock)), values)

    def many() -> object:
        return stream.push(ids, [float(next(clock))] * IDS, [values] * IDS)

    for warm in (single, bare.step, many):
        seconds(warm, 20)
    rounds = [(seconds(single, EVENTS), seconds(bare.step, EVENTS), seconds(many, 5)) for _ in range(ROUNDS)]
    line = {
        "benchmark": "stream",
        "threads": 1,
        "rounds": ROUNDS,
        "us_per_event": round(1e6 * statistics.median(a for a, _, _ in rounds), 1),
        "bare_us_per_event": round(1e6 * statistics.median(b for _, b, _ in rounds), 1),
        "time_ratio": round(statistics.median(a / b for a, b, _ in rounds), 2),
        "ids_in_one_call": IDS,
        "us_per_event_of_many": round(1e6 * statistics.median(c for _, _, c in rounds) / IDS, 2),
        "events_per_second_ratio": round(statistics.median(a / (c / IDS) for a, _, c in rounds), 1),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
