"""Training speed against what a user would write by hand; JSON lines, the two sides taking turns.

    python benchmarks/training.py [step] [ragged] [vowels DIR] [start]

`step`: the trainer's step against a bare loop over the same model and batches.
`ragged`: whole epochs on 4,000 ragged sequences with three tasks against a bare PyTorch loop on
length-bucketed padded batches. `vowels`: the same on JapaneseVowels (a folder with its .ts files).
`start`: process start to first optimizer step, in a process of its own.
"""

from __future__ import annotations

import copy
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from padded_loop import PaddedLoop
from rich.console import Console

import mmseq
from mmseq.data import prepare
from mmseq.run import Run
from mmseq.training.module import TrainingModule
from mmseq.training.sitting import Sitting

ROUNDS = 7
THREADS = 2


def ragged_set(n: int = 4_000, seed: int = 0) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """16 channels, lengths lognormal with median 100 in [20, 600]; labels: a class, a number, 5 flags."""
    random = np.random.default_rng(seed)
    lengths = np.clip(np.exp(random.normal(np.log(100), 0.8, n)), 20, 600).astype(int)
    series = [random.normal(size=(length, 16)).astype(np.float32) for length in lengths]
    labels = {
        "kind": random.integers(0, 3, n),
        "amount": np.array([s[:, 0].mean() for s in series], np.float32),
        "flags": (random.normal(size=(n, 5)) > 0).astype(np.float32),
    }
    return series, labels


def experiment(folder: str, channels: int, tasks: dict[str, Any], batch: int = 32, hidden: int = 128) -> Any:
    """One numeric modality, one LSTM, the last step read, as the bare loop has it."""
    columns = [f"signal_{i}" for i in range(channels)]
    return mmseq.load_config(
        {
            "name": "benchmark",
            "data": {
                "source": {"kind": "memory"},
                "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
                "store": folder,
            },
            "modalities": {
                "signal": {"kind": "numeric", "table": "signal", "time": "time", "columns": columns}
            },
            "fusion": {"kind": "sum", "width": channels},
            "core": {"kind": "lstm", "hidden": hidden},
            "tasks": tasks,
            "training": {"epochs": 1, "batch": {"samples": batch}, "threads": THREADS},
        }
    )


def tables(series: Sequence[np.ndarray], labels: dict[str, np.ndarray]) -> Any:
    """Ragged lists as the tables of a memory source."""
    longest = max(map(len, series))
    values = np.full((len(series), longest, series[0].shape[1]), np.nan, np.float32)
    for row, one in zip(values, series, strict=True):
        row[: len(one)] = one
    return mmseq.padded({"signal": values}, lengths=np.array([len(s) for s in series]), labels=labels)


class Clock(pl.Callback):
    """From before the first batch is assembled to the end of the last step."""

    def on_train_start(self, *_: Any) -> None:
        self.begin = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.end = time.perf_counter()


def trainer_epoch(sitting: Sitting) -> Callable[[], float]:
    """Seconds of one epoch by the trainer, as a run has it, over the same order each time."""

    begun = copy.deepcopy(sitting.progress)

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock()
            record = Run.create(Path(folder), sitting.experiment)
            sitting.progress = copy.deepcopy(begun)
            sitting.fit(record, Console(quiet=True), [clock])
        return clock.end - clock.begin

    return run


def bare_epoch(sitting: Sitting) -> Callable[[], float]:
    """Seconds of a bare loop over the same model and the same batches."""

    def run() -> float:
        feed = sitting.feed()
        module: TrainingModule = sitting.module(feed)
        optimizer = module.configure_optimizers()
        parameters = [p for p in module.parameters() if p.requires_grad]
        batches = feed.batches(0)
        module.train()
        begin = time.perf_counter()
        for batch in batches:
            outputs, _ = module.model(batch)
            losses = {
                task: head.loss_sum(outputs[task], batch.targets[task]) / batch.weights[task]
                for task, head in module.model.heads.items()
            }
            optimizer.zero_grad()
            module.balancer(losses, batch.weights, 1.0).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return time.perf_counter() - begin

    return run


def compare(name: str, toolkit: Callable[[], float], bare: Callable[[], float], n: int, steps: int) -> None:
    """Prints one JSON line: medians, and the median of the ratios of neighbouring runs."""
    toolkit(), bare()
    pairs = [(toolkit(), bare()) for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    line = {
        "benchmark": name,
        "threads": THREADS,
        "rounds": ROUNDS,
        "samples_per_second": round(n / ours, 1),
        "bare_samples_per_second": round(n / theirs, 1),
        "step_ms": round(1e3 * ours / steps, 2),
        "bare_step_ms": round(1e3 * theirs / steps, 2),
        "difference_ms": round(1e3 * statistics.median(a - b for a, b in pairs) / steps, 2),
        "speed_ratio": round(statistics.median(b / a for a, b in pairs), 3),
        "time_ratio": round(statistics.median(a / b for a, b in pairs), 3),
    }
    print(json.dumps(line), flush=True)


RAGGED_TASKS = {
    "kind": {"kind": "classification", "table": "labels", "column": "kind"},
    "amount": {"kind": "regression", "table": "labels", "column": "amount"},
    "flags": {"kind": "multilabel", "table": "labels", "columns": [f"flags_{i}" for i in range(5)]},
}


def step(folder: str) -> None:
    """Trainer against bare loop, at steps of about 10 and about 40 ms."""
    series, labels = ragged_set(1_280)
    for name, rows, batch in (("step small", [s[:60] for s in series], 32), ("step large", series, 64)):
        config = experiment(folder, 16, RAGGED_TASKS, batch)
        sitting = Sitting(config, prepare(config, tables(rows, labels)))
        steps = -(-len(rows) // batch)
        compare(name, trainer_epoch(sitting), bare_epoch(sitting), len(rows), steps)


def ragged(folder: str) -> None:
    """Whole epochs on the ragged set."""
    series, labels = ragged_set()
    config = experiment(folder, 16, RAGGED_TASKS)
    sitting = Sitting(config, prepare(config, tables(series, labels)))
    loop = PaddedLoop(series, labels, n_classes=3, hidden=128, batch=32)
    compare("ragged three heads", trainer_epoch(sitting), loop.epoch, len(series), len(series) // 32)


def vowels(folder: str, path: Path) -> None:
    """Whole epochs on JapaneseVowels."""
    series, label = read_ts(path / "JapaneseVowels_TRAIN.ts")
    labels = {"kind": label}
    config = experiment(folder, 12, {"kind": RAGGED_TASKS["kind"]})
    sitting = Sitting(config, prepare(config, tables(series, labels)))
    loop = PaddedLoop(series, labels, n_classes=9, hidden=128, batch=32)
    compare("JapaneseVowels", trainer_epoch(sitting), loop.epoch, len(series), -(-len(series) // 32))


def read_ts(path: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """A .ts file: a line a sample, channels and the label divided by colons."""
    lines = path.read_text().split("@data", 1)[1].split()
    parts = [line.split(":") for line in lines]
    series = [np.array([c.split(",") for c in part[:-1]], np.float32).T for part in parts]
    return series, np.array([int(part[-1]) - 1 for part in parts])


START = """
import sys, time
import mmseq, pytorch_lightning as pl
class First(pl.Callback):
    def on_train_batch_end(self, *_):
        print(time.time() - float(sys.argv[1]), flush=True)
        import os; os._exit(0)
mmseq.train(mmseq.load_config("configs/flights.yaml"), output=sys.argv[2], callbacks=[First()])
"""


def start() -> None:
    """Process start to first optimizer step on the flights, whose store is there already."""
    prepare(mmseq.load_config("configs/flights.yaml"))
    command = [sys.executable, "-c", START]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(5):
            arguments = [*command, str(time.time()), folder]
            seconds.append(float(subprocess.run(arguments, capture_output=True, check=True).stdout))
    print(json.dumps({"benchmark": "start to first step", "seconds": round(statistics.median(seconds), 2)}))


def main(arguments: list[str]) -> None:
    torch.set_num_threads(THREADS)
    chosen = arguments or ["step", "ragged", "start"]
    with tempfile.TemporaryDirectory() as folder:
        if "step" in chosen:
            step(folder)
        if "ragged" in chosen:
            ragged(folder)
        if "vowels" in chosen:
            vowels(folder, Path(chosen[chosen.index("vowels") + 1]))
        if "start" in chosen:
            start()


if __name__ == "__main__":
    main(sys.argv[1:])
