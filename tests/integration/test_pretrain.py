"""A first stage that learns from some of the tasks, and the training after it."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmseq
from mmseq.errors import ConfigError, Interrupted
from mmseq.training.keeper import Keeper

STEPS = 6  # an epoch
SETTINGS = (
    "training.epochs=2",
    "training.pretrain={epochs: 2, tasks: [next]}",
    "training.optimizer.kind=adam",
    "training.log_every=1",
    "balance={kind: fixed}",
)


def experiment_of(toy: Path, folder: Path, *settings: str) -> Any:
    return mmseq.load_config(toy, [f"data.store={folder / 'stores'}", *SETTINGS, *settings])


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step-{step:09d}" / "weights.safetensors")


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    """A run with a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("every")
    every = ("training.checkpoint.steps=1", "training.checkpoint.keep=99")
    return mmseq.train(experiment_of(toy, folder, *every), output=folder)


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> mmseq.Run:
    """The run that was left alone."""
    folder = tmp_path_factory.mktemp("whole")
    return mmseq.train(experiment_of(toy, folder), output=folder)


def test_the_first_stage_leaves_the_other_heads_alone(run: mmseq.Run) -> None:
    """Until its last step, 11; afterwards all learn. caught: labels that count in the first stage."""
    first, last, after = (weights(run.path, step) for step in (1, 2 * STEPS - 1, 2 * STEPS + 2))
    for task in run.experiment.tasks:
        names = [name for name in first if name.startswith(f"model.heads.{task}.")]
        moved = any(not torch.equal(first[name], last[name]) for name in names)
        assert moved == (task == "next"), task
        assert any(not torch.equal(last[name], after[name]) for name in names), task
    core = [name for name in first if name.startswith("model.core.")]
    assert any(not torch.equal(first[name], last[name]) for name in core)


def test_each_stage_has_its_own_course_of_the_rate(run: mmseq.Run) -> None:
    with (run.path / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    rates = [float(row["value"]) for row in rows if row["metric"] == "lr"]
    assert len(rates) == 4 * STEPS
    assert rates[: 2 * STEPS] == rates[2 * STEPS :] and rates[2 * STEPS - 1] < rates[2 * STEPS + 2]
    losses = {(row["task"], int(row["step"])) for row in rows if row["metric"] == "loss"}
    assert {task for task, step in losses if step <= 2 * STEPS} == {"", "next"}


def test_the_best_epoch_is_one_of_the_second_stage(run: mmseq.Run) -> None:
    log = (run.path / "log.txt").read_text().splitlines()
    stages = ["(pretraining)" in line for line in log if line.startswith("epoch")]
    assert stages == [True, True, False, False]
    assert all("best" not in line for line in log[:2]) and "(best)" in log[2]


@pytest.mark.parametrize("step", [4, 2 * STEPS, 15])
def test_it_goes_on_from_either_stage(
    toy: Path, tmp_path: Path, whole: mmseq.Run, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first stage, at its end, or in the second: bit for bit as if nothing had happened."""
    experiment = experiment_of(toy, tmp_path)
    original = Keeper.on_train_batch_end

    def hook(self: Keeper, trainer: Any, module: Any, *rest: Any) -> None:
        if module.step == step and not module.first_step:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module, *rest)

    monkeypatch.setattr(Keeper, "on_train_batch_end", hook)
    with pytest.raises(Interrupted):
        mmseq.train(experiment, output=tmp_path / "cut")
    run = mmseq.Run(tmp_path / "cut" / "toy")
    mmseq.train(run.experiment, resume=run)
    for name in ("model/weights.safetensors", "metrics.csv", "log.txt"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), name


@pytest.mark.parametrize(
    ("pretrain", "told"),
    [
        ("{epochs: 1, tasks: [nxt]}", "a task with a weight above 0"),
        ("{epochs: 0, tasks: [next]}", "greater than 0"),
        ("{epochs: 1, tasks: []}", "at least 1"),
    ],
)
def test_stages_that_cannot_be(toy: Path, tmp_path: Path, pretrain: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        experiment_of(toy, tmp_path, f"training.pretrain={pretrain}")


def test_a_stage_of_all_tasks_is_none(toy: Path, tmp_path: Path) -> None:
    every = ", ".join(mmseq.load_config(toy).tasks)
    with pytest.raises(ConfigError, match=r"training\.pretrain\.tasks: names every task"):
        experiment_of(toy, tmp_path, f"training.pretrain={{epochs: 1, tasks: [{every}]}}")
