"""Balancers that look at training: exact over processes, and over a stop on the way."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import mmseq
from mmseq.errors import ConfigError, Interrupted
from mmseq.training.keeper import Keeper

KINDS = ["dwa", "gradnorm", "pcgrad", "famo"]
EPOCHS = 4


def experiment_of(toy: Path, folder: Path, kind: str, *settings: str) -> Any:
    common = [f"data.store={folder / 'stores'}", f"training.epochs={EPOCHS}", "training.precision=64-true"]
    return mmseq.load_config(toy, [f"balance={{kind: {kind}}}", *common, *settings])


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(max((run / "checkpoints").glob("step-*")) / "weights.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_has_learned_is_in_the_checkpoint(
    toy: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after 15 of 24 steps and resumed, a run ends bit for bit as one that was not.

    caught: factors, first losses or an epoch's sums that are not in the state dict; a second look at a batch
    after the checkpoint of its step.
    """
    experiment = experiment_of(toy, tmp_path, kind)
    whole = mmseq.train(experiment, output=tmp_path / "whole")
    original = Keeper.on_train_batch_end

    def hook(self: Keeper, trainer: Any, module: Any, *rest: Any) -> None:
        if module.step == 15 and not module.first_step:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, module, *rest)

    monkeypatch.setattr(Keeper, "on_train_batch_end", hook)
    with pytest.raises(Interrupted):
        mmseq.train(experiment, output=tmp_path / "cut")
    run = mmseq.Run(tmp_path / "cut" / "toy")
    mmseq.train(run.experiment, resume=run)
    for name in ("model/weights.safetensors", "metrics.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    factors = last_weights(run.path)["balancer.factor"]
    assert torch.equal(factors, last_weights(whole.path)["balancer.factor"])
    assert not torch.equal(factors, torch.ones_like(factors))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_balance_as_one(toy: Path, tmp_path: Path, in_processes: Any, kind: str) -> None:
    """caught: Gram matrices, or losses, of a part of the batch; steps that only one process takes."""
    alone = mmseq.train(
        experiment_of(toy, tmp_path, kind, "training.checkpoint.keep=9"), output=tmp_path / "alone"
    )
    run = tmp_path / "run"
    shutil.copytree(alone.path, run)
    shutil.rmtree(run / "model")
    for late in [path for path in (run / "checkpoints").glob("step-*") if int(path.name[5:]) > 0]:
        shutil.rmtree(late)
    ended = in_processes(["train", "--resume", run.name], 2)
    assert [one.code for one in ended] == [0, 0], [one.err for one in ended]
    found, expected = last_weights(run), last_weights(alone.path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= 1e-9, name


def test_weights_and_cosines_are_logged(toy: Path, tmp_path: Path) -> None:
    run = mmseq.train(experiment_of(toy, tmp_path, "pcgrad", "training.log_every=2"), output=tmp_path)
    with (run.path / "metrics.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["split"] == "train"]
    tasks = list(run.experiment.tasks)
    weights = {row["task"] for row in rows if row["metric"] == "weight"}
    assert weights == set(tasks)
    cosines = [float(row["value"]) for row in rows if row["metric"] == f"cosine.{tasks[1]}"]
    assert cosines and all(-1 - 1e-9 <= value <= 1 + 1e-9 for value in cosines)


@pytest.mark.parametrize("kind", ["gradnorm", "pcgrad", "famo"])
def test_half_a_batch_is_not_enough(toy: Path, tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigError, match=r"training\.accumulation: must be 1: the balancer"):
        experiment_of(toy, tmp_path, kind, "training.accumulation=2")
    experiment_of(toy, tmp_path, "dwa", "training.accumulation=2")
