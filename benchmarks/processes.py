"""Two processes of one thread against one process of two threads; JSON lines, the two sides taking turns.

    python benchmarks/processes.py [gru] [lstm]

Both train the same model by `mmseq.train` on the same global batches: 64 samples of 100 steps with 16
numbers, a core of width 128, one class to tell. All processes are started once and keep their model's
caches warm; each round is a run of its own. Timed are the optimizer steps after the first few: assembling
the batch, forward, backward, the sum of gradients over processes, and the optimizer. Left out: starting
processes, preparation, warm-up, validation (there is none) and all but the first checkpoint.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

ROUNDS, WARM, STEPS = 11, 3, 24
BATCH, LENGTH, CHANNELS, WIDTH = 64, 100, 16, 128
SIDES = {"one process, two threads": (1, 2), "two processes, one thread": (2, 1)}


def data() -> Any:
    """As many samples as steps need, all of one length."""
    import mmseq

    random, n = np.random.default_rng(0), BATCH * (WARM + STEPS)
    values = random.normal(size=(n, LENGTH, CHANNELS)).astype(np.float32)
    return mmseq.padded({"signal": values}, labels={"kind": random.integers(0, 3, n)})


def config(kind: str, threads: int, folder: str) -> dict[str, Any]:
    """One epoch of the steps to be taken."""
    columns = [f"signal_{i}" for i in range(CHANNELS)]
    return {
        "name": "processes",
        "data": {
            "source": {"kind": "memory"},
            "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
            "store": f"{folder}/stores",
        },
        "modalities": {"signal": {"kind": "numeric", "table": "signal", "time": "time", "columns": columns}},
        "fusion": {"kind": "sum", "width": CHANNELS},
        "core": {"kind": kind, "hidden": WIDTH},
        "tasks": {"kind": {"kind": "classification", "table": "labels", "column": "kind"}},
        "training": {
            "epochs": 1,
            "batch": {"samples": BATCH},
            "threads": threads,
            "accelerator": "cpu",
            "checkpoint": {"minutes": 1e6},
        },
    }


def rank(kind: str, threads: int, folder: str) -> None:
    """One process of a side: trains a run for each line on standard input, and tells how long it took."""
    import pytorch_lightning as pl

    import mmseq

    class Clock(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
            if index == WARM:
                self.begin = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
            self.end, self.loss = time.perf_counter(), float(module.loss)

    tables = data()
    for _ in sys.stdin:
        clock = Clock()
        mmseq.train(config(kind, threads, folder), data=tables, output=Path(folder), callbacks=[clock])
        print(json.dumps([clock.end - clock.begin, clock.loss]), flush=True)


class Side:
    """The processes of one side, which wait until they are asked."""

    def __init__(self, kind: str, size: int, threads: int, folder: str) -> None:
        with socket.socket() as tried:
            tried.bind(("127.0.0.1", 0))
            port = tried.getsockname()[1]
        self.processes = [
            subprocess.Popen(
                [sys.executable, __file__, "rank", kind, str(threads), folder],
                env=os.environ | _place(i, size, port) | {"OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(size)
        ]

    def __enter__(self) -> Side:
        return self

    def run(self) -> tuple[float, float]:
        """Seconds that the slowest process took, and the last loss."""
        for process in self.processes:
            print(file=_open(process.stdin), flush=True)
        told = [json.loads(_open(process.stdout).readline()) for process in self.processes]
        return max(seconds for seconds, _ in told), told[0][1]

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


def _place(i: int, size: int, port: int) -> dict[str, str]:
    place = {"RANK": i, "LOCAL_RANK": i, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    told = {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return {name: str(value) for name, value in told.items()}


def _open(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def compare(kind: str) -> None:
    """Prints one JSON line: medians, and the median of the ratios of neighbouring runs."""
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in SIDES]
        one, two = (
            stack.enter_context(Side(kind, *side, folder))
            for side, folder in zip(SIDES.values(), folders, strict=True)
        )
        warm = one.run(), two.run()
        pairs = [(one.run()[0], two.run()[0]) for _ in range(ROUNDS)]
    n = BATCH * STEPS
    alone, shared = (statistics.median(side) for side in zip(*pairs, strict=True))
    line = {
        "benchmark": f"{kind} of width {WIDTH}, batch {BATCH}, {LENGTH} steps",
        "rounds": ROUNDS,
        "samples_per_second_one_process_two_threads": round(n / alone, 1),
        "samples_per_second_two_processes_one_thread": round(n / shared, 1),
        "speed_ratio": round(statistics.median(a / b for a, b in pairs), 3),
        "speed_ratios": [round(a / b, 3) for a, b in pairs],
        "difference_of_last_loss": abs(warm[0][1] - warm[1][1]),
    }
    print(json.dumps(line), flush=True)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["rank"]:
        rank(arguments[1], int(arguments[2]), arguments[3])
        return
    for kind in arguments or ["gru", "lstm"]:
        compare(kind)


if __name__ == "__main__":
    main(sys.argv[1:])
