"""What counts as too little memory, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.run import Run
from mmseq.store import Store
from mmseq.training.memory import is_out_of_memory, out_of_memory
from mmseq.training.module import TrainingModule

SHORT = """
import resource, sys
import numpy as np, torch
from mmseq.training.memory import is_out_of_memory
torch.zeros(2) @ torch.zeros(2)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (1 << 28), taken + (1 << 28)))
for ask in (lambda: torch.empty(1 << 30), lambda: np.empty(1 << 30), lambda: bytearray(1 << 30),
            lambda: torch.nn.functional.gelu(torch.empty(1).expand(1 << 30))):
    try:
        ask()
    except Exception as error:
        if is_out_of_memory(error):
            continue
        print(repr(error))
    print("not told")
"""


def test_a_real_shortage_is_told_whoever_meets_it() -> None:
    """torch, numpy and Python itself, in a process with little address space."""
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyError("memory"), False),
    ],
)
def test_other_errors_are_not(error: Exception, is_so: bool) -> None:
    assert is_out_of_memory(error) == is_so


@pytest.fixture
def batch(experiment: Experiment, store: Store) -> Batch:
    model = Model(experiment, fit(experiment, store, np.arange(len(store))))
    return Assembler(store, model, tasks=[]).batch(np.arange(4))


class Module(TrainingModule):
    """As much of a training module as is told of."""

    step = 7

    def __init__(self) -> None:
        pl.LightningModule.__init__(self)


def _none_of(batch: Batch) -> Batch:
    return replace(batch, events={})


def test_the_batch_is_told_and_the_setting_to_lower(batch: Batch, tmp_path: Path) -> None:
    """Caught: the first micro-batch told instead of the last."""
    (tmp_path / "config.resolved.yaml").touch()
    module, run = Module(), Run(tmp_path)
    module.micros = [(_none_of(batch), None), (batch, None)]
    lengths = batch.timeline.lengths_list
    told = out_of_memory(MemoryError("can't allocate\nmuch more"), module, run)
    assert told.startswith(
        f"step 7: memory ran out on a batch of 4 samples with {sum(lengths):,} steps (the longest has "
        f"{max(lengths)}) and these events: {len(batch.events['vitals'])} of vitals, "
    )
    assert "; can't allocate; lower training.batch.samples" in told and "much more" not in told
    assert "training.accumulation" in told and told.endswith(f"{tmp_path}/checkpoints")
    module.micros = []
    assert out_of_memory(MemoryError(), module, run).startswith("step 7: memory ran out; MemoryError; lower ")
