"""A batch that does not fit into memory: told with what to lower, and nothing is lost."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from apart import MMSEQ, finished

import mmseq
from mmseq.training.checkpoint import read_checkpoint

STEPS = 20_000
YAML = """\
name: long
data:
  source: {kind: tables, root: data, id: id}
  split: {train: 1, validation: 0, test: 0}
modalities:
  v: {kind: numeric, table: v.csv, time: t, columns: [x]}
core: {kind: gru, hidden: 64}
tasks: {y: {kind: regression, table: y.csv, column: y}}
training: {epochs: 2, batch: {samples: 8, bucket: 1}, threads: 1, accelerator: cpu, checkpoint: {steps: 1}}
"""
SHORT = """
import resource, sys
from mmseq.cli.main import run
from mmseq.training.keeper import Keeper

def hook(self, trainer, module, batch, *rest):
    if max(batch.timeline.lengths_list) > 1_000:
        taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + {bytes}, taken + {bytes}))

Keeper.on_train_batch_start = hook
sys.argv = ["mmseq", *sys.argv[1:]]
run()
"""
PLUGIN = """
import os
from typing import Literal

import torch

from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder


class GreedyConfig(LinearConfig):
    kind: Literal["greedy"]


@encoders.register(GreedyConfig)
class GreedyEncoder(LinearEncoder):
    def forward(self, events):
        if len(events) > float(os.environ.get("MOST", "inf")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return super().forward(events)
"""


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """The YAML of 16 samples, one of which is too long."""
    (tmp_path / "data").mkdir()
    lengths = [STEPS if i == 5 else 10 for i in range(16)]
    v = [f"s{i},{t},{(i * t) % 7}" for i, length in enumerate(lengths) for t in range(length)]
    (tmp_path / "data" / "v.csv").write_text("\n".join(["id,t,x", *v]) + "\n")
    (tmp_path / "data" / "y.csv").write_text(
        "\n".join(["id,y", *(f"s{i},{i % 5}" for i in range(16))]) + "\n"
    )
    (tmp_path / "long.yaml").write_text(YAML)
    return tmp_path


def _run(folder: Path, program: list[str], *arguments: str, **told: str) -> subprocess.CompletedProcess[str]:
    return finished(folder, [*program, *arguments], MALLOC_ARENA_MAX="1", **told)


def _must_be_told(done: Any, folder: Path) -> int:
    """The step that could not be taken, before which there is a whole checkpoint."""
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    told = re.fullmatch(
        rf"step (\d): memory ran out on a batch of \d samples with [\d,]+ steps \(the longest has {STEPS:,}"
        r"\) "
        r"and these events: [\d,]+ of v; .*; lower training.batch.samples .*, raise training.accumulation, "
        r"or set training.window or training.recompute; the last checkpoint is whole: "
        r"runs/long/checkpoints\n",
        done.stderr,
    )
    assert told, done.stderr
    step = int(told[1])
    last = max((folder / "runs" / "long" / "checkpoints").glob("step-*"))
    assert read_checkpoint(last).progress.step == step
    return step


@pytest.mark.slow
def test_a_real_shortage(long: Path) -> None:
    """In a process that may take 96 MiB more once the long sample comes; where it may take more, it goes on.

    Caught: a shortage that is a traceback; a batch told that had been trained on already.
    """
    program = ["-c", SHORT.format(bytes=96 << 20)]
    step = _must_be_told(_run(long, program, "train", "-c", "long.yaml"), long)
    assert step in (0, 1)
    done = _run(long, MMSEQ, "train", "--resume", "runs/long")
    assert done.returncode == 0, done.stderr
    assert mmseq.Run(long / "runs" / "long").model() is not None


@pytest.mark.slow
def test_what_a_device_says_in_a_plugin_and_a_smaller_load(long: Path) -> None:
    """The run goes on with more micro-batches.

    Caught: the plugin blamed; accumulation that may not change.
    """
    (long / "greedy.py").write_text(PLUGIN)
    most = {"MOST": str(STEPS + 15)}  # the long sample fits with at most one other
    arguments = ["--plugin", "greedy.py", "--set", "modalities.v.encoder={kind: greedy}"]
    done = _run(long, MMSEQ, "train", "-c", "long.yaml", *arguments, **most)
    _must_be_told(done, long)
    assert "Tried to allocate 20.00 GiB" in done.stderr and "greedy" not in done.stderr
    resume = ["train", "--resume", "runs/long", "--plugin", "greedy.py", "--set", "training.accumulation=4"]
    done = _run(long, MMSEQ, *resume, **most)
    assert done.returncode == 0, done.stderr
