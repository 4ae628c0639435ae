"""Long memory, in small: what the benchmark of memory tasks shows at a thousand steps holds at a hundred."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory_tasks.py"
LENGTH = 100


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


def learned(tasks: ModuleType, task: str, core: str, updates: int) -> dict[str, float]:
    """The score after so many updates."""
    learner = tasks.Learner(task, tasks.configs(LENGTH, 32)[core], LENGTH, lr=5e-3, seed=0)
    for _ in range(updates):
        learner.update(16)
    return learner.score()


def test_adding_asks_for_the_sum_of_the_marked(tasks: ModuleType) -> None:
    task = tasks.adding(4, 7, torch.Generator().manual_seed(0))
    number, mark = task.inputs.view(4, 7, 2).unbind(2)
    assert mark[:, :3].sum(1).tolist() == mark[:, 3:].sum(1).tolist() == [1] * 4
    torch.testing.assert_close(task.target, (number * mark).sum(1))
    assert task.at.tolist() == [6, 13, 20, 27]


def test_copy_asks_for_the_symbols_after_the_signal(tasks: ModuleType) -> None:
    task = tasks.copy(3, 5, torch.Generator().manual_seed(0))
    shown, asked = task.inputs.argmax(1).view(3, 25), task.target.view(3, 25)
    assert (shown[:, :10] < 8).all() and (shown[:, 10:14] == tasks.BLANK).all()
    assert (shown[:, 14] == tasks.SIGNAL).all() and (shown[:, 15:] == tasks.BLANK).all()
    assert torch.equal(asked[:, 15:], shown[:, :10]) and (asked[:, :15] == tasks.BLANK).all()


@pytest.mark.slow
def test_adding_is_learned(tasks: ModuleType) -> None:
    assert learned(tasks, "adding", "stack of min_gru", 250)["mse"] < 0.01


@pytest.mark.slow
def test_without_a_memory_it_is_not(tasks: ModuleType) -> None:
    assert learned(tasks, "adding", "mlp", 250)["mse"] > 0.1


@pytest.mark.slow
def test_copy_is_learned(tasks: ModuleType) -> None:
    assert learned(tasks, "copy", "lru", 300)["accuracy"] > 0.9
