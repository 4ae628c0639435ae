"""What counts as too little memory, and what is said of it, whoever reads a batch."""

from __future__ import annotations

import ctypes
import math
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmseq
import mmseq.training.train
from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.encoders.linear import LinearEncoder
from mmseq.errors import MemoryShort
from mmseq.fit import fit
from mmseq.inference.bootstrap import collect
from mmseq.inference.early import evaluate_early
from mmseq.inference.evaluate import evaluate
from mmseq.inference.predict import predict
from mmseq.memory import is_out_of_memory, keeping_freed, telling_shortage
from mmseq.model import Model
from mmseq.run import Run
from mmseq.store import Store

SHORT = """
import resource, sys
import numpy as np, torch
from mmseq.memory import is_out_of_memory
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

KEPT = """
import resource
import torch
from mmseq.memory import keeping_freed

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def steps(n, mib):
    for _ in range(n):
        kept = [torch.ones(mib << 18) for _ in range(5)]
        del kept

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

steps(2, 20)
begin = faults()
steps(2, 20)
given_back = faults() - begin
with keeping_freed():
    steps(2, 28)
    begin = faults()
    steps(2, 28)
    print(given_back, faults() - begin, resident() >> 20, end=" ")
print(resident() >> 20)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep memory")


@glibc
def test_what_steps_free_is_kept_while_they_go_on() -> None:
    """Caught: the threshold of trimming alone set, or set to nothing; memory not given back at the end."""
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    given_back, kept, during, after = (int(word) for word in done.stdout.split())
    assert kept < 100 < given_back
    assert during - after > 90


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_an_environment_that_tunes_the_c_library_has_its_way(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: the environment passed over."""
    monkeypatch.setenv(name, "131072")
    monkeypatch.setattr(ctypes, "CDLL", None)
    with keeping_freed():
        pass


def test_a_real_shortage_is_told_whoever_meets_it() -> None:
    """torch, numpy and Python itself, in a process with little address space.

    Caught: numpy's and Python's MemoryError let through; what torch says on the CPU not known.
    """
    done = subprocess.run([sys.executable, "-c", SHORT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for an LSTM forward propagation"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyError("memory"), False),
    ],
)
def test_other_errors_are_not(error: Exception, is_so: bool) -> None:
    """Caught: any RuntimeError taken for a shortage; any whose words sound like one; oneDNN not known."""
    assert is_out_of_memory(error) == is_so


@pytest.fixture
def batch(experiment: Experiment, store: Store) -> Batch:
    model = Model(experiment, fit(experiment, store, np.arange(len(store))))
    return Assembler(store, model, tasks=[]).batch(np.arange(4))


def test_the_batch_is_told_and_what_to_do(batch: Batch) -> None:
    """Caught: all lines of what was said; a batch that is asked for its size where there is none yet."""
    lengths = batch.timeline.lengths_list
    with (
        pytest.raises(MemoryShort) as told,
        telling_shortage(lambda: ("step 7", batch), "lower it"),
    ):
        raise MemoryError("can't allocate\nmuch more")
    assert str(told.value).startswith(
        f"step 7: memory ran out on a batch of 4 samples with {sum(lengths):,} steps (the longest has "
        f"{max(lengths)}) and these events: {len(batch.events['vitals'])} of vitals, "
    )
    assert str(told.value).endswith("; can't allocate; lower it")
    with (
        pytest.raises(MemoryShort, match=r"^step 7: memory ran out; MemoryError; lower it$"),
        telling_shortage(lambda: ("step 7", None), "lower it"),
    ):
        raise MemoryError


def test_other_errors_go_on_as_they_are() -> None:
    """Caught: every error told as a shortage."""
    with pytest.raises(RuntimeError, match="shapes"), telling_shortage(lambda: ("", None), ""):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Has encoders find no memory for more than so many events."""
    whole = LinearEncoder.forward

    def limit(most: float) -> None:
        def forward(self: LinearEncoder, events: Any) -> Any:
            if not self.training and len(events) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return whole(self, events)

        monkeypatch.setattr(LinearEncoder, "forward", forward)

    return limit


TOLD = r" on a batch of \d+ samples .* events: .*; CUDA out of memory.*; free some, .* training.window reads"


def test_whoever_reads_a_batch_tells(
    toy: Path, toy_run: Run, tmp_path: Path, scarce: Callable[[float], None]
) -> None:
    """Caught: any of them without the word."""
    shutil.copytree(toy_run.path, tmp_path / "run")
    run, inputs = Run(tmp_path / "run"), toy.parent / "data"
    scarce(0)
    for name, read in {
        "evaluate": lambda: evaluate(run, "test"),
        "evaluate --early": lambda: evaluate_early(run, "test"),
        "predict": lambda: predict(run, inputs),
    }.items():
        with pytest.raises(MemoryShort, match=f"^{name}: memory ran out{TOLD}"):
            read()


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("evaluator.TaskScore.compute", "metrics"),
        ("predict._table", "predict: the table"),
        ("bootstrap._joined", "evaluate: all answers"),
    ],
)
def test_what_is_worked_out_of_all_batches_tells(
    toy_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, where: str
) -> None:
    """Caught: a MemoryError of the exact rankings, or of the table, after the last batch."""
    shutil.copytree(toy_run.path, tmp_path / "run")

    def short(*given: Any) -> Any:
        raise np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("float64"))

    monkeypatch.setattr(f"mmseq.inference.{place}", short)
    with pytest.raises(
        MemoryShort, match=f"^{where}: memory ran out; Unable to allocate .*; free some, or go"
    ):
        run = Run(tmp_path / "run")
        collect(run, "test") if "answers" in where else evaluate(run, "test")


def test_what_training_ended_with_is_not_lost(
    toy: Path, tmp_path: Path, scarce: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation that does not fit, and then what is worked out once training has ended.

    Caught: either of them without the word; a run that cannot go on.
    """
    experiment = mmseq.load_config(toy, [f"data.store={tmp_path / 'stores'}", "training.epochs=1"])
    scarce(0)
    with pytest.raises(MemoryShort, match=f"^validation: memory ran out{TOLD}"):
        mmseq.train(experiment, output=tmp_path)
    scarce(math.inf)
    scoring = mmseq.training.train.score
    monkeypatch.setattr(mmseq.training.train, "score", lambda *told: scarce(0) or scoring(*told))
    with pytest.raises(
        MemoryShort, match=f"^evaluate: memory ran out{TOLD}.* has ended: `mmseq train --resume"
    ):
        mmseq.train(experiment, output=tmp_path, resume=Run(tmp_path / "toy"))
    monkeypatch.undo()
    assert mmseq.train(experiment, output=tmp_path, resume=Run(tmp_path / "toy")).model() is not None
