"""Which checkpoints are kept, and which are gone on from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import mmseq.training.checkpoints
from mmseq.bundle import OLD
from mmseq.errors import CheckpointError, ConfigError, NumericError
from mmseq.training.checkpoint import Checkpoint, Progress
from mmseq.training.checkpoints import Checkpoints

RESUME = "mmseq train --resume runs/a"


def _kept(folder: Path, keep: int = 2, experiment: str = "this") -> Checkpoints:
    return Checkpoints(folder / "checkpoints", experiment, keep, RESUME)


def _checkpoint(step: int, value: float = 1.0, experiment: str = "this") -> Checkpoint:
    progress = Progress(step=step, experiment=experiment)
    return Checkpoint({"w": torch.full((3,), value)}, {"0.exp_avg": torch.ones(1)}, progress, {}, {})


def _damage(path: Path) -> None:
    content = bytearray((path / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "weights.safetensors").write_bytes(content)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_latest_few_stay_and_the_best_beside_them(tmp_path: Path, keep: int) -> None:
    """Also where one is written twice.

    Caught: all but one kept for `keep: 1`; the best counted among the latest.
    """
    kept = _kept(tmp_path, keep)
    kept.save_best(_checkpoint(1, 7.0))
    for step in (1, 2, 3, 4, 4):
        kept.save(_checkpoint(step))
    assert kept.names() == [f"step-{step:09d}" for step in range(5 - keep, 5)]
    assert kept.best(1).weights["w"].tolist() == [7.0] * 3
    with pytest.raises(
        CheckpointError, match="best: must be of step 3; is of step 1: another was put in its"
    ):
        kept.best(3)
    assert kept.latest().progress.step == 4


def test_none_goes_before_the_new_one_was_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that keeps something else than was written.

    Caught: older ones pruned before that.
    """
    kept, save = _kept(tmp_path, keep=1), mmseq.training.checkpoints.save_checkpoint
    kept.save(_checkpoint(1))

    def saved_badly(folder: Path, checkpoint: Any) -> None:
        save(folder, checkpoint)
        _damage(folder)

    monkeypatch.setattr(mmseq.training.checkpoints, "save_checkpoint", saved_badly)
    with pytest.raises(CheckpointError, match=r"step-000000002/weights\.safetensors"):
        kept.save(_checkpoint(2))
    assert kept.read("step-000000001").progress.step == 1


@pytest.mark.parametrize("part", ["weights w", "optimizer 0.exp_avg", "the state core/h of sample 'a'"])
@pytest.mark.parametrize("best", [False, True])
def test_only_finite_numbers_are_written(tmp_path: Path, part: str, best: bool) -> None:
    kept = _kept(tmp_path)
    kept.save(_checkpoint(1))
    bad = _checkpoint(2)
    bad.carried["a"] = {"time": torch.full((1,), torch.nan), "core/h": torch.zeros(1)}  # no time is none yet
    tensors = {"weights": bad.weights["w"], "optimizer": bad.moments["0.exp_avg"]}
    tensors.get(part.split()[0], bad.carried["a"]["core/h"])[-1] = torch.inf
    with pytest.raises(NumericError, match=f": keeps finite numbers only; {part} has others; .*a lower"):
        (kept.save_best if best else kept.save)(bad)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000001"]


def test_one_of_another_run_or_step_is_refused(tmp_path: Path) -> None:
    """Caught: a folder's name that is believed; a checkpoint of other settings that is gone on from."""
    kept = _kept(tmp_path, keep=9)
    kept.save(_checkpoint(1))
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "step-000000001", folder / "step-000000005")
    with pytest.raises(CheckpointError, match="step-000000005: is of step 1; another was put in its place"):
        kept.read("step-000000005")
    with pytest.raises(
        CheckpointError,
        match=r"step-000000001: is of another run, or .* or mmseq itself",
    ):
        _kept(tmp_path, experiment="other").read("step-000000001")


def test_the_last_whole_one_is_offered_where_the_latest_is_not(tmp_path: Path) -> None:
    """Never a start from what is older without a word, nor anew.

    Caught: an offer of one that is not whole itself.
    """
    kept = _kept(tmp_path, keep=9)
    for step in (1, 2, 3):
        kept.save(_checkpoint(step))
    _damage(tmp_path / "checkpoints" / "step-000000003")
    _damage(tmp_path / "checkpoints" / "step-000000002")
    with pytest.raises(CheckpointError) as error:
        kept.latest()
    message = str(error.value)
    assert "step-000000003/weights.safetensors" in message
    assert message.endswith(
        f"; step-000000001 before it is whole: go on from there with `{RESUME} --from step-000000001`"
    )
    assert kept.earlier("step-000000001").progress.step == 1
    _damage(tmp_path / "checkpoints" / "step-000000001")
    with pytest.raises(CheckpointError, match=r"; no other checkpoint is whole: start anew$"):
        kept.latest()


def test_without_any_it_says_how_to_start_anew(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step-12").mkdir(parents=True)  # not a name of ours
    with pytest.raises(ConfigError, match=r"start anew with `mmseq train --config .*/config.resolved.yaml`"):
        _kept(tmp_path).latest()


def test_a_name_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    kept = _kept(tmp_path)
    kept.save(_checkpoint(1))
    with pytest.raises(
        ConfigError, match="--from best: there is no such checkpoint; there are: step-0000000"
    ):
        kept.earlier("best")


def test_later_ones_are_set_aside_and_not_lost(tmp_path: Path) -> None:
    """Each time; what had been set aside before makes room.

    Caught: later ones that are gone on from after the next interruption.
    """
    kept = _kept(tmp_path, keep=9)
    for value in (1.0, 2.0):
        for step in (3, 4, 5):
            kept.save(_checkpoint(step, value))
        kept.set_aside_after(3)
        assert kept.names() == ["step-000000003"]
    left = tmp_path / "checkpoints" / "step-000000005.left"
    left.rename(left.with_name("step-000000005"))
    assert kept.latest().weights["w"].tolist() == [2.0] * 3


def _cut_off(path: Path) -> None:
    """As a kill leaves a folder between the two renames of its replacement."""
    path.rename(path.with_name(OLD + path.name))


def test_one_whose_replacement_was_cut_off_is_there(tmp_path: Path) -> None:
    """It is gone on from, kept by its name, counted among those that stay, and set aside.

    Caught: the one before it gone on from without a word; one that stays for ever.
    """
    kept, folder = _kept(tmp_path), tmp_path / "checkpoints"
    for step in (1, 2):
        kept.save(_checkpoint(step))
    _cut_off(folder / "step-000000002")
    assert kept.latest().progress.step == 2
    kept.set_aside_after(2)
    assert {path.name for path in folder.iterdir()} == {"step-000000001", "step-000000002"}
    _cut_off(folder / "step-000000002")
    kept.set_aside_after(1)
    assert {path.name for path in folder.iterdir()} == {"step-000000001", "step-000000002.left"}


def test_what_is_set_aside_stays_so_through_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: a rename that the disk need not hold yet."""
    kept, synced = _kept(tmp_path), []
    kept.save(_checkpoint(2))
    monkeypatch.setattr(mmseq.training.checkpoints, "sync", lambda path: synced.append((path, kept.names())))
    kept.set_aside_after(1)
    assert synced == [(tmp_path / "checkpoints", [])]
