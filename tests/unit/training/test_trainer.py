"""Which devices train, and what of them is not there."""

from __future__ import annotations

import pytest
import torch

from mmseq.config.training import TrainingConfig
from mmseq.errors import ConfigError
from mmseq.place import Place
from mmseq.processes import Processes
from mmseq.training.trainer import check_devices, device_of, set_up_torch


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of(TrainingConfig()) == device_of(TrainingConfig(accelerator="cpu")) == "cpu"
    with pytest.raises(ConfigError, match="accelerator: gpu needs a CUDA device"):
        device_of(TrainingConfig(accelerator="gpu"))


def test_as_many_gpus_as_processes(one_gpu: None) -> None:
    check_devices(TrainingConfig(), 1)
    check_devices(TrainingConfig(accelerator="cpu"), 2)
    with pytest.raises(ConfigError, match="2 processes on a machine need as many GPUs; torch finds 1"):
        check_devices(TrainingConfig(), 2)


def test_threads_are_shared_by_the_processes_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    set_up_torch(TrainingConfig(), Processes())  # as torch chooses
    set_up_torch(TrainingConfig(), Processes(Place(size=4, local_size=2)))
    set_up_torch(TrainingConfig(threads=3), Processes(Place(size=4, local_size=2)))
    assert given == [4, 3]


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_adds_in_the_same_order_unless_told_otherwise(
    one_gpu: None, monkeypatch: pytest.MonkeyPatch, deterministic: bool
) -> None:
    told: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda on, warn_only: told.append(on))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    set_up_torch(TrainingConfig(accelerator="cpu"), Processes())
    assert not told and torch.backends.cudnn.allow_tf32
    set_up_torch(TrainingConfig(deterministic=deterministic), Processes())
    assert told == [deterministic] and not torch.backends.cudnn.allow_tf32
