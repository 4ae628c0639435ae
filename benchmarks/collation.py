"""What putting a batch together costs of a training step, for modalities whose events are more than numbers.

    python benchmarks/collation.py                 every kind below
    python benchmarks/collation.py text image      some of them

Prints a JSON line for each: batches of 32 samples, two threads. Assembling (gathering, cutting into tokens,
targets) and the rest of the step (forward, backward, AdamW) take turns on the same batches; a figure is the
median of many turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mmseq
from mmseq.batch.assemble import Assembler
from mmseq.fit import fit
from mmseq.model import Model

BATCH, SAMPLES, TURNS, THREADS = 32, 256, 40, 2
WORDS = [f"word{i}" for i in range(3_000)]


def utterances(rng: np.random.Generator) -> str:
    """Some ten words, the frequent ones more often."""
    return " ".join(rng.choice(WORDS, rng.integers(3, 20), p=ZIPF))


ZIPF = 1 / np.arange(1, len(WORDS) + 1)
ZIPF /= ZIPF.sum()


def recording(rng: np.random.Generator) -> list[float]:
    """A second of noise, which has ten windows."""
    return rng.normal(size=16_000).tolist()


WINDOWS = {"rate": 16_000, "length": 0.2, "hop": 0.1, "begin": "silence"}

Draw = Callable[[np.random.Generator], Any]


def frames(rng: np.random.Generator) -> np.ndarray:
    """Pixels in colour."""
    return rng.integers(0, 256, (64, 64, 3), np.uint8)


KINDS: dict[str, tuple[dict[str, Any], Draw, int]] = {
    "text": ({"kind": "text", "tokens": {"kind": "words"}}, utterances, 10),
    "text by bytes": (
        {"kind": "text", "tokens": {"kind": "bytes"}, "encoder": {"kind": "text"}}, utterances, 10
    ),
    "waveform": ({"kind": "waveform", **WINDOWS, "encoder": {"kind": "log_mel"}}, recording, 1),
    "waveform of samples": ({"kind": "waveform", **WINDOWS}, recording, 1),
    "vector": ({"kind": "vector", "shape": [768]}, lambda rng: rng.normal(size=768).tolist(), 10),
    "image": ({"kind": "image", "size": [64, 64]}, frames, 10),
}  # fmt: skip
"""By name: the modality, an event of it, and how many events a sample has."""


def main() -> None:
    """Measures the kinds that were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=[], help=", ".join(KINDS))
    torch.set_num_threads(THREADS)
    for name in parser.parse_args().kinds or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"modality": name, "batch": BATCH, **measure(name, Path(folder))}), flush=True)


def measure(name: str, folder: Path) -> dict[str, float]:
    """Milliseconds of both parts of a step, and the share of the first."""
    modality, draw, n_events = KINDS[name]
    rng = np.random.default_rng(0)
    records = [
        {
            "id": str(i),
            "y": "ab"[i % 2],
            "events": [{"time": float(t), "x": draw(rng)} for t in range(n_events)],
        }
        for i in range(SAMPLES)
    ]
    experiment = mmseq.load_config(
        {
            "name": "collation",
            "data": {"source": {"kind": "memory"}, "split": {"train": 1.0, "validation": 0, "test": 0},
                     "store": str(folder)},
            "modalities": {"x": {**modality, "table": "events", "time": "time", "column": "x"}},
            "core": {"kind": "gru", "hidden": 128},
            "tasks": {"y": {"kind": "classification", "table": "samples", "column": "y"}},
        }
    )  # fmt: skip
    store = mmseq.prepare(experiment, records)
    model = Model(experiment, fit(experiment, store, np.arange(SAMPLES)))
    assembler, optimizer = Assembler(store, model, tasks=["y"]), torch.optim.AdamW(model.parameters())
    collation, rest = [], []
    for turn in range(TURNS + 3):
        begin = time.perf_counter()
        batch = assembler.batch(rng.choice(SAMPLES, BATCH, replace=False), seed=turn)
        middle = time.perf_counter()
        parameters, _ = model(batch)
        optimizer.zero_grad()
        model.heads["y"].loss_sum(parameters["y"], batch.targets["y"]).backward()
        optimizer.step()
        collation.append(middle - begin)
        rest.append(time.perf_counter() - middle)
    one, other = (1e3 * statistics.median(times[3:]) for times in (collation, rest))
    share = round(one / (one + other), 3)
    return {"collation_ms": round(one, 2), "step_ms": round(one + other, 2), "share": share}


if __name__ == "__main__":
    main()
