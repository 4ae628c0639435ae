from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mmseq.config.experiment import OptimizerConfig
from mmseq.training.module import build_optimizer


def _module() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 4), nn.LSTM(4, 5))
    module.register_parameter("scale", nn.Parameter(torch.zeros(())))
    return module


@pytest.mark.parametrize(
    ("kind", "chosen", "decay"),
    [("adamw", None, 0.01), ("adam", None, 0.0), ("sgd", None, 0.0), ("adamw", 0.3, 0.3), ("sgd", 0.3, 0.3)],
)
def test_only_matrices_decay(kind: Any, chosen: float | None, decay: float) -> None:
    module = _module()
    optimizer = build_optimizer(OptimizerConfig(kind=kind, lr=0.5, weight_decay=chosen), module)
    matrices, vectors = optimizer.param_groups
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {0, 1}
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (decay, 0.0)
    assert len(matrices["params"]) + len(vectors["params"]) == len(list(module.parameters()))
    assert matrices["lr"] == vectors["lr"] == 0.5


def test_every_module_is_trained_and_frozen_weights_are_not() -> None:
    model, balancer = nn.Linear(2, 2), nn.Module()
    balancer.register_parameter("log_variance", nn.Parameter(torch.zeros(3)))
    model.bias.requires_grad_(False)
    optimizer = build_optimizer(OptimizerConfig(), model, balancer)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert [tuple(p.shape) for p in held] == [(2, 2), (3,)]


def test_a_module_without_vectors_has_one_group() -> None:
    (group,) = build_optimizer(OptimizerConfig(), nn.Linear(2, 2, bias=False)).param_groups
    assert len(group["params"]) == 1


@pytest.mark.parametrize(("kind", "expected"), [("adamw", "AdamW"), ("adam", "Adam"), ("sgd", "SGD")])
def test_kinds(kind: Any, expected: str) -> None:
    optimizer = build_optimizer(OptimizerConfig(kind=kind), nn.Linear(2, 2))
    assert type(optimizer).__name__ == expected
