"""Long samples under windows; JSON lines.

    python benchmarks/windows.py [time] [memory]

`time`: a training step of one window, deep in samples of 100,000 steps against whole samples of 1,000, for
every causal core, the two sides taking turns. `memory`: the peak of a process that trains an epoch on one
sample of 10,000 steps, and on one of 1,000,000.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch

import mmseq
from mmseq.batch.assemble import Assembler
from mmseq.carried import Carried
from mmseq.cores import cores
from mmseq.cores.nested import is_causal
from mmseq.data import prepare
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.state import flatten

ROUNDS = 5
THREADS = 1
SHORT, LONG, SAMPLES = 1_000, 100_000, 4


def write_tables(root: Path, lengths: list[int]) -> None:
    """Samples of these lengths: three numbers a step, a label a sample."""
    random = np.random.default_rng(0)
    ids = np.repeat([f"s{i}" for i in range(len(lengths))], lengths)
    time = np.concatenate([random.exponential(1, n).cumsum() for n in lengths])
    values = {name: random.normal(size=len(ids)).astype(np.float32) for name in "xyz"}
    pa.parquet.write_table(pa.table({"id": ids, "time": time, **values}), root / "signal.parquet")
    labels = {"id": [f"s{i}" for i in range(len(lengths))], "amount": random.normal(size=len(lengths))}
    pa.parquet.write_table(pa.table(labels), root / "labels.parquet")


def tree(root: Path, window: int, core: dict[str, Any]) -> dict[str, Any]:
    """One numeric modality, what comes next at every step, and a number a sample."""
    return {
        "name": "windows",
        "data": {
            "source": {"kind": "tables", "root": str(root), "id": "id"},
            "split": {"train": 1.0, "validation": 0.0, "test": 0.0},
            "store": str(root / "stores"),
        },
        "modalities": {
            "signal": {
                "kind": "numeric",
                "table": "signal.parquet",
                "time": "time",
                "columns": ["x", "y", "z"],
            }
        },
        "core": core,
        "tasks": {
            "amount": {"kind": "regression", "table": "labels.parquet", "column": "amount"},
            "next": {"kind": "next_step", "modality": "signal"},
        },
        "training": {"epochs": 1, "batch": {"samples": SAMPLES}, "window": window, "threads": THREADS},
    }


def steps_of(model: Model, assembler: Assembler, samples: np.ndarray, first: int) -> Callable[[], float]:
    """Seconds of a training step on each of three windows of samples that begin there."""
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)

    def run() -> float:
        carried, seconds = Carried(), []
        nothing = flatten(model.begin(1))
        carried.states = {id: dict(nothing) for id in assembler.store.ids[samples].tolist()}
        for begin in range(first, first + 3 * SHORT, SHORT) if first else (0, 0, 0):
            start = time.perf_counter()
            batch = assembler.batch(samples, 1, (begin, begin + SHORT))
            parameters = carried.run(model, batch)
            loss = sum(
                model.heads[task].loss_sum(own, batch.targets[task]) / (batch.weights[task] or 1)
                for task, own in parameters.items()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    return run


def times(root: Path) -> None:
    """A line for each causal core."""
    write_tables(root, [SHORT] * SAMPLES + [LONG] * SAMPLES)
    store = None
    for kind in cores.kinds():
        if not is_causal(cores.parse({"kind": kind})):
            continue
        experiment = mmseq.load_config(tree(root, SHORT, {"kind": kind}))
        store = store or prepare(experiment)
        model = Model(experiment, fit(experiment, store, np.arange(len(store)))).train()
        assembler = Assembler(store, model, tasks=list(model.heads))
        short = steps_of(model, assembler, np.arange(SAMPLES), 0)
        long = steps_of(model, assembler, np.arange(SAMPLES, 2 * SAMPLES), LONG // 2)
        short(), long()
        pairs = [(short(), long()) for _ in range(ROUNDS)]
        line = {
            "benchmark": "windows time",
            "core": kind,
            "threads": THREADS,
            "rounds": ROUNDS,
            "us_per_step_of_1000": round(1e6 * statistics.median(a for a, _ in pairs) / SHORT / SAMPLES, 2),
            "us_per_step_of_100000": round(1e6 * statistics.median(b for _, b in pairs) / SHORT / SAMPLES, 2),
            "time_ratio": round(statistics.median(b / a for a, b in pairs), 3),
        }
        print(json.dumps(line), flush=True)


# Not ru_maxrss, in which a process begins with what its parent had.
CHILD = """
import json, re, sys
from pathlib import Path
import mmseq
mmseq.train(json.loads(sys.argv[1]), output=sys.argv[2])
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def memory(root: Path) -> None:
    """A line for the two lengths; preparation is done beforehand, in this process."""
    peaks = {}
    for length in (10_000, 1_000_000):
        folder = root / str(length)
        folder.mkdir()
        write_tables(folder, [length])
        config = tree(folder, 2_048, {"kind": "min_gru", "hidden": 64})
        prepare(mmseq.load_config(config))
        command = [sys.executable, "-c", CHILD, json.dumps(config), str(folder / "runs")]
        peaks[length] = float(subprocess.run(command, capture_output=True, check=True).stdout.split()[-1])
    line = {
        "benchmark": "windows memory",
        "window": 2_048,
        "peak_mb": {str(length): round(peak, 1) for length, peak in peaks.items()},
        "ratio": round(peaks[1_000_000] / peaks[10_000], 3),
    }
    print(json.dumps(line), flush=True)


def main(chosen: list[str]) -> None:
    torch.set_num_threads(THREADS)
    for name, benchmark in (("time", times), ("memory", memory)):
        if name in chosen or not chosen:
            with tempfile.TemporaryDirectory() as folder:
                benchmark(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
