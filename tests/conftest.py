"""Small tables whose labels can be learnt, with gaps everywhere, and a finished run on them."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jaxtyping
import numpy as np
import pytest
import torch

import mmseq
from mmseq.launch import environment, meeting_place
from mmseq.modalities import modalities
from mmseq.plugin import load_plugin
from mmseq.registry import FAMILIES, family

torch.set_num_threads(1)  # workers share the cores; more threads than cores wait for each other

CHECKED = [Path(__file__).parent / kind for kind in ("unit", "contract")]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Shapes are checked in unit and contract tests; whole runs would take three times as long."""
    checked = any(item.path.is_relative_to(folder) for folder in CHECKED)
    jaxtyping.config.update("jaxtyping_disable", not checked)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """As in use: without the tests' checker of shapes, which would speak first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not look at it, nor a fork copy it."""
    gc.collect()
    gc.freeze()


TOY = """\
name: toy
data:
  source: {kind: tables, root: data, id: id, group: family}
  samples: samples.csv
  split: {train: 0.6, validation: 0.2, test: 0.2}
timeline: {unit: minutes}
modalities:
  vitals: {kind: numeric, table: vitals.csv, time: minute, columns: [heart, noise]}
  codes: {kind: category, table: codes.csv, time: minute, column: code}
  ward: {kind: category, table: samples.csv, columns: [ward]}
  age: {kind: numeric, table: samples.csv, columns: [age]}
fusion: {kind: gated, width: 8}
core: {kind: lstm, hidden: 16, dropout: 0.1}
readout: [{kind: last}, {kind: mean}]
tasks:
  sick: {kind: classification, table: labels.csv, column: sick}
  level: {kind: regression, table: labels.csv, column: level}
  flags: {kind: multilabel, table: labels.csv, columns: [low, high]}
  stage: {kind: classification, table: stages.csv, time: minute, column: stage}
  next: {kind: next_step, modality: vitals, weight: 0.1}
balance: {kind: uncertainty}
training:
  epochs: 6
  batch: {samples: 8}
  optimizer: {lr: 1e-2}
  monitor: sick/auroc
  threads: 1
  accelerator: cpu
"""


def write_toy(folder: Path, n: int = 80, seed: int = 0) -> Path:
    """Two clocks, a static table, labels for some; returns the YAML of a run on them."""
    random = np.random.default_rng(seed)
    (folder / "data").mkdir(parents=True)
    vitals, codes, samples, labels, stages = [], [], [], [], []
    for i in range(n):
        level = random.normal()
        samples.append(f"p{i},{i % 20},{'abc'[i % 3]},{40 + i % 7}")
        times = np.sort(random.choice(100, random.integers(2, 12), replace=False))
        for t in times:
            heart = "" if random.random() < 0.3 else f"{level + random.normal() / 4:.4f}"
            vitals.append(f"p{i},{t},{heart},{random.normal():.4f}")
        for t in random.choice(100, random.integers(0, 6), replace=False):
            codes.append(f"p{i},{t},{'xyz'[random.integers(3)]}")
        sick = "" if random.random() < 0.2 else "yes" if level > 0 else "no"
        flags = ["" if random.random() < 0.3 else str(int(level > cut)) for cut in (-0.5, 0.5)]
        labels.append(f"p{i},{sick},{level:.4f},{flags[0]},{flags[1]}")
        stages.extend(f"p{i},{t},{'late' if t > 50 else 'early'}" for t in times[::2])
    tables = {
        "vitals": ("id,minute,heart,noise", vitals),
        "codes": ("id,minute,code", codes),
        "samples": ("id,family,ward,age", samples),
        "labels": ("id,sick,level,low,high", labels),
        "stages": ("id,minute,stage", stages),
    }
    for name, (header, rows) in tables.items():
        (folder / "data" / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    path = folder / "toy.yaml"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of a run on small tables."""
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def toy_run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs")
    experiment = mmseq.load_config(toy, [f"data.store={folder / 'stores'}"])
    return mmseq.train(experiment, output=folder)


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_disks() -> Iterator[None]:
    """Files are not waited for until a disk holds them, thousands of times; what a power cut leaves
    is tested by noting the calls. What is no open file is refused as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: os.fstat(file) and None)
        yield


class Ended(NamedTuple):
    """What a process left behind."""

    out: str
    err: str
    code: int


@pytest.fixture
def in_processes(tmp_path: Path) -> Callable[..., list[Ended]]:
    """Runs Python code, or a list of `mmseq` arguments, in several processes that find one another."""

    def run(work: str | list[str], n: int, limit: float = 120) -> list[Ended]:
        command = ["-c", work] if isinstance(work, str) else ["-m", "mmseq", *work]
        started = []
        with meeting_place() as there:
            for rank in range(n):
                started.append(
                    subprocess.Popen(
                        [sys.executable, *command],
                        cwd=tmp_path,
                        text=True,
                        env=os.environ | environment(rank, n, there) | {"OMP_NUM_THREADS": "1"},
                        pass_fds=() if rank else (there.fileno(),),
                        stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE,
                    )
                )
        try:
            said = [process.communicate(timeout=limit) for process in started]
        finally:
            for process in started:
                process.kill()
        return [Ended(*said, process.returncode) for said, process in zip(said, started, strict=True)]

    return run


@pytest.fixture
def forgets_plugins() -> Iterator[None]:
    """The plugin files that a test loads are unknown to the next one."""
    before = set(sys.modules)
    yield
    loaded = {name for name in sys.modules if name.startswith("mmseq_plugin_")} - before
    for registry in map(family, FAMILIES):
        for kind in [kind for kind, (_, cls) in registry._classes.items() if cls.__module__ in loaded]:
            del registry._classes[kind]
    for name in loaded:
        del sys.modules[name]


@pytest.fixture(scope="module")
def silent() -> Iterator[Path]:
    """A plugin, loaded: a modality of kind `silent`, whose next event has no likelihood."""
    path = Path(__file__).parent / "silent.py"
    load_plugin(path)
    yield path
    del modalities._classes["silent"], sys.modules["mmseq_plugin_silent"]
