"""An interrupted run leaves a checkpoint, says how to go on, and goes on exactly."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

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
