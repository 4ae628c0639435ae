"""An interrupted run leaves a checkpoint, says how to go on, and goes on exactly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

import mmseq
from mmseq.config.experiment import Experiment
from mmseq.errors import CheckpointError, ConfigError, Interrupted
from mmseq.training.checkpoint import read_checkpoint
from mmseq.training.keeper import Keeper


@pytest.fixture
def interrupt_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Sends this process a signal right after the optimizer step of that number."""

    original = Keeper.on_train_batch_end

    def arm(step: int, number: int) -> None:
        def hook(self: Keeper, trainer: Any, module: Any, *rest: Any) -> None:
            if module.step == step:
                os.kill(os.getpid(), number)
            original(self, trainer, module, *rest)

        monkeypatch.setattr(Keeper, "on_train_batch_end", hook)

    return arm


def _latest(run: mmseq.Run) -> Path:
    return max((run.path / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int | None], mmseq.Run]:
    """By its window, the run that was left alone."""

    @cache
    def whole(window: int | None) -> mmseq.Run:
        folder = tmp_path_factory.mktemp("whole")
        return mmseq.train(_experiment(toy, folder, window), output=folder)

    return whole


def _experiment(toy: Path, folder: Path, window: int | None = None) -> Experiment:
    settings = ["training.epochs=3", f"training.window={window or 'null'}"]
    return mmseq.load_config(toy, [f"data.store={folder / 'stores'}", *settings])


@pytest.mark.parametrize(
    ("step", "number", "window"),
    [(9, signal.SIGINT, None), (12, signal.SIGTERM, None), (3, signal.SIGTERM, None), (4, signal.SIGINT, 5)],
)
def test_goes_on_bit_identically(
    toy: Path, tmp_path: Path, whole: Any, interrupt_after: Any, step: int, number: int, window: int | None
) -> None:
    """Six steps an epoch: 9 is amid one, 12 is its end, 3 comes before any validation.

    With windows, 4 is amid the samples of a batch, whose state the checkpoint carries. The store is another
    by then, in other shards.

    Caught: where and how the data are kept taken for what is trained.
    """
    experiment, whole = _experiment(toy, tmp_path, window), whole(window)
    interrupt_after(step, number)
    with pytest.raises(Interrupted, match=f"mmseq train --resume {tmp_path}/cut/toy") as error:
        mmseq.train(experiment, output=tmp_path / "cut")
    assert error.value.exit_code == 128 + number
    run = mmseq.Run(tmp_path / "cut" / "toy")
    carried = read_checkpoint(_latest(run)).carried
    assert len(carried) == (8 if window else 0)  # the samples of a batch
    with pytest.raises(ConfigError, match="has no model yet"):
        run.model()
    interrupt_after(10_000, number)
    elsewhere = [f"data.store={tmp_path / 'elsewhere'}", "data.shard_events=50", "data.memory_limit=500MB"]
    mmseq.train(run.changed(elsewhere), resume=run)
    for name in ("model/weights.safetensors", "metrics.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert _latest(run).name == _latest(whole).name
    for name in ("optimizer.safetensors", "progress.json"):
        assert (_latest(run) / name).read_bytes() == (_latest(whole) / name).read_bytes(), name
    assert run.read_report("validation") == whole.read_report("validation")


def test_a_stop_amid_validation_leaves_off_before_the_last_step(
    toy: Path, tmp_path: Path, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within seconds, however long the validation; the step and the validation are done again."""
    experiment, whole = _experiment(toy, tmp_path), whole(None)
    original = Keeper.on_validation_batch_end

    def hook(self: Keeper, trainer: Any, module: Any, *rest: Any) -> None:
        if module.step == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module, *rest)

    monkeypatch.setattr(Keeper, "on_validation_batch_end", hook)
    with pytest.raises(Interrupted, match="interrupted after step 11; a checkpoint was written"):
        mmseq.train(experiment, output=tmp_path / "cut")
    monkeypatch.setattr(Keeper, "on_validation_batch_end", original)
    run = mmseq.Run(tmp_path / "cut" / "toy")
    assert _latest(run).name == "step-000000011"
    mmseq.train(run.experiment, resume=run)
    for name in ("model/weights.safetensors", "metrics.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_finished_run_says_so(toy_run: mmseq.Run) -> None:
    with pytest.raises(ConfigError, match="training has ended"):
        mmseq.train(toy_run.experiment, resume=toy_run)


AT_WORK = """
import sys
from mmseq.run import Run
with Run(sys.argv[1]).at_work():
    print("at work", flush=True)
    sys.stdin.read()
"""


def _at_work(run: mmseq.Run) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", AT_WORK, str(run.path)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_what_another_process_trains_is_not_read(toy_run: mmseq.Run, tmp_path: Path) -> None:
    """Its checkpoints may go at any time: here they have gone.

    Caught: training that goes on all the same; a lock that is taken once the checkpoint has been read.
    """
    run = mmseq.Run(shutil.copytree(toy_run.path, tmp_path / "run"))
    for name in ("model", "checkpoints"):
        shutil.rmtree(run.path / name)
    with _at_work(run) as other:
        assert other.stdout is not None and other.stdout.readline() == b"at work\n"
        with pytest.raises(ConfigError, match="another process trains there"):
            mmseq.train(run.experiment, resume=run)
        other.kill()
    with pytest.raises(ConfigError, match="needs a checkpoint to go on from"):
        mmseq.train(run.experiment, resume=run)


def test_nobody_goes_on_with_a_run_that_is_being_trained(toy: Path, tmp_path: Path) -> None:
    """Caught: a new run that is not locked."""
    said = []

    class Intruder(pl.Callback):
        def on_train_start(self, trainer: Any, module: Any) -> None:
            said.append(_at_work(mmseq.Run(tmp_path / "toy")).communicate()[1])

    experiment = mmseq.load_config(toy, [f"data.store={tmp_path / 'stores'}", "training.epochs=1"])
    mmseq.train(experiment, output=tmp_path, callbacks=[Intruder()])
    assert b"another process trains there" in said[0]


def test_altered_checkpoint_is_refused_by_name(toy: Path, tmp_path: Path, interrupt_after: Any) -> None:
    experiment = mmseq.load_config(toy, [f"data.store={tmp_path / 'stores'}"])
    interrupt_after(4, signal.SIGTERM)
    with pytest.raises(Interrupted):
        mmseq.train(experiment, output=tmp_path)
    path = _latest(mmseq.Run(tmp_path / "toy")) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        mmseq.train(experiment, resume=mmseq.Run(tmp_path / "toy"))
