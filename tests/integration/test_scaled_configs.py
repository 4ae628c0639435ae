"""The configurations for several GPUs and machines are launched, as two processes on CPUs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

CONFIGS = Path(__file__).parents[2] / "configs"
CARRIERS = ("9E", "AA", "B6", "DL", "EV", "MQ", "UA", "US", "VX", "WN")
SMALL = [
    "training.epochs=2", "training.batch.samples=8", "training.accelerator=cpu", "training.threads=1",
    "training.precision=64-true",
]  # fmt: skip


def _write(path: Path, header: str, rows: Iterable[Iterable[object]]) -> None:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def write_flights(folder: Path, n: int = 40) -> None:
    """Tables like those of the flights, of so many days."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    flights, weather, samples, labels = [], [], [], []
    for i in range(n):
        bad = random.normal()
        for minute in np.sort(random.integers(300, 800, 12)):
            delay = "" if random.random() < 0.1 else f"{10 * bad + random.normal():.3f}"
            flights.append((i, minute, CARRIERS[random.integers(10)], delay, random.integers(200, 2500)))
        weather += [(i, 60 * h, *(f"{bad + random.normal():.3f}" for _ in range(8))) for h in range(5, 13)]
        samples.append((i, i % 10, i % 7, i % 12, ("EWR", "JFK", "LGA")[i % 3]))
        late = [int(bad + random.normal() > 0) for _ in CARRIERS]
        labels.append((i, ("none", "some", "much", "most")[i % 4], f"{max(0.0, 10 + 5 * bad):.3f}", *late))
    _write(folder / "flights.csv", "sample_id,minute,carrier,delay,distance", flights)
    names = "temp,dewp,humid,wind_speed,gust,precip,pressure,visib"
    _write(folder / "weather.csv", f"sample_id,minute,{names}", weather)
    _write(folder / "samples.csv", "sample_id,week,weekday,month,airport", samples)
    late_names = ",".join(f"late_{name}" for name in CARRIERS)
    _write(folder / "labels.csv", f"sample_id,level,mean_delay,{late_names}", labels)


def _start(config: str, folder: Path, output: str, changes: list[str], told: Mapping[str, object]) -> object:
    words = ["train", "--config", CONFIGS / config, "--output", output]
    for change in [*SMALL, f"data.source.root={folder / 'flights'}", *changes]:
        words += ["--set", change]
    return subprocess.Popen(
        [sys.executable, "-m", "mmseq", *map(str, words)],
        cwd=folder,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | {name: str(value) for name, value in told.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _end(started: Iterable[object]) -> None:
    processes = [process for process in started if isinstance(process, subprocess.Popen)]
    try:
        said = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    for process, (out, err) in zip(processes, said, strict=True):
        assert process.returncode == 0, f"{out[-2000:]}\n{err[-2000:]}"


def _nodes(port: int) -> list[dict[str, object]]:
    """What srun tells each task of a job with one task on each of two nodes."""
    return [
        {
            "SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_NUM_NODES": 2, "SLURM_PROCID": i, "SLURM_NODEID": i,
            "SLURM_LOCALID": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
        }
        for i in range(2)
    ]  # fmt: skip


def _agree(ours: Path, alone: Path) -> None:
    weights, others = (load_file(run / "model" / "weights.safetensors") for run in (ours, alone))
    assert weights.keys() == others.keys()
    for name, value in others.items():
        np.testing.assert_allclose(weights[name], value, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_several_gpus(tmp_path: Path) -> None:
    """`mmseq train` starts them, and they train what one does. Caught: the mean of their gradients taken."""
    write_flights(tmp_path / "flights")
    for n in (1, 2):
        _end([_start("flights-gpus.yaml", tmp_path, f"of-{n}", [f"training.devices={n}"], {})])
    _agree(tmp_path / "of-2" / "flights-gpus", tmp_path / "of-1" / "flights-gpus")


@pytest.mark.slow
def test_several_nodes(tmp_path: Path) -> None:
    """One process on each of two nodes, as srun starts them. Caught: all taken to be on one node."""
    write_flights(tmp_path / "flights")
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port = tried.getsockname()[1]
    each = ["training.devices=1"]
    _end(_start("flights-nodes.yaml", tmp_path, "of-2", each, told) for told in _nodes(port))
    _end([_start("flights-nodes.yaml", tmp_path, "of-1", [*each, "training.nodes=1"], {})])
    _agree(tmp_path / "of-2" / "flights-nodes", tmp_path / "of-1" / "flights-nodes")
