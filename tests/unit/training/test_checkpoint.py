"""A checkpoint comes back as it was, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmseq.config.experiment import OptimizerConfig
from mmseq.errors import CheckpointError
from mmseq.training.checkpoint import (
    Checkpoint,
    Progress,
    moments_of,
    read_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from mmseq.training.module import build_optimizer

FACTS = {"time_scale": 2.5, "modalities": {"a": {"mean": [0.1]}}}
CARRIED = {
    "p1": {"core/hidden": torch.ones(1, 1, 3), "clock/time": torch.tensor([1.5])},
    "p2": {"core/hidden": torch.zeros(1, 1, 3), "clock/time": torch.tensor([-1.0])},
}
PROGRESS = Progress(step=17, best=0.25, stale=2)


def _trained(kind: str = "adamw") -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = build_optimizer(OptimizerConfig(kind=kind), module)
    _step(module, optimizer)
    return module, optimizer


def _step(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    module(torch.linspace(-1, 1, 15).view(5, 3)).square().sum().backward()
    optimizer.step()


def _checkpoint(
    module: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress = PROGRESS
) -> Checkpoint:
    return Checkpoint(module.state_dict(), moments_of(optimizer), progress, FACTS, CARRIED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "last", _checkpoint(*_trained()))
    return tmp_path / "last"


@pytest.mark.parametrize("kind", ["adamw", "adam", "sgd"])
def test_goes_on_from_it_bit_identically(tmp_path: Path, kind: Any) -> None:
    module, optimizer = _trained(kind)
    save_checkpoint(tmp_path / "last", _checkpoint(module, optimizer))
    saved = read_checkpoint(tmp_path / "last")
    assert (saved.progress, saved.facts) == (PROGRESS, FACTS)
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    other.load_state_dict(saved.weights)
    resumed = build_optimizer(OptimizerConfig(kind=kind), other)
    restore_optimizer(resumed, saved.moments)
    for _ in range(3):
        _step(module, optimizer)
        _step(other, resumed)
    assert all(a.equal(b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_without_moments_the_next_step_is_another(folder: Path) -> None:
    """The moments matter; without them the test above would pass on weights alone."""
    module, optimizer = _trained()
    weights = read_checkpoint(folder).weights
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    other.load_state_dict(weights)
    fresh = build_optimizer(OptimizerConfig(), other)
    for _ in range(2):
        _step(module, optimizer)
        _step(other, fresh)
    assert not next(module.parameters()).equal(next(other.parameters()))


def test_holds_tensors_and_json_alone(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "carried.json",
        "carried.safetensors",
        "facts.json",
        "manifest.json",
        "optimizer.safetensors",
        "progress.json",
        "weights.safetensors",
    ]
    assert json.loads((folder / "progress.json").read_text())["step"] == 17


def test_states_of_windows_come_back_by_sample(folder: Path) -> None:
    found = read_checkpoint(folder).carried
    assert list(found) == ["p1", "p2"]
    for id, rows in CARRIED.items():
        assert found[id].keys() == rows.keys()
        assert all(torch.equal(found[id][path], value) for path, value in rows.items())


def test_a_later_one_takes_its_place(folder: Path) -> None:
    save_checkpoint(folder, _checkpoint(*_trained(), Progress(step=18)))
    assert read_checkpoint(folder).progress == Progress(step=18)
    assert [path.name for path in folder.parent.iterdir()] == ["last"]


@pytest.mark.parametrize(
    "name",
    [
        "weights.safetensors",
        "optimizer.safetensors",
        "progress.json",
        "facts.json",
        "carried.safetensors",
        "carried.json",
    ],
)
@pytest.mark.parametrize("damage", ["flip", "short", "missing"])
def test_damaged_files_are_refused_by_name(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "short":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(folder)


def test_a_model_is_not_a_checkpoint(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("mmseq checkpoint 5", "mmseq model 1"))
    with pytest.raises(CheckpointError, match="needs schema 'mmseq checkpoint 5'; found 'mmseq model 1'"):
        read_checkpoint(folder)
