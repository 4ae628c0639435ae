"""Where training stands, written so that it can go on from there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from mmseq.bundle import dump_json, read_folder, write_folder

SCHEMA = "mmseq checkpoint 1"


@dataclass
class Progress:
    """How far training came.

    Attributes:
        step: optimizer steps taken.
        best: the best monitored value so far; None before the first.
        best_epoch: when that was.
        stale: epochs since.
        done: training has ended.
        data: fingerprint of the store that is trained on.
    """

    step: int = 0
    best: float | None = None
    best_epoch: int = -1
    stale: int = 0
    done: bool = False
    data: str = ""


def save_checkpoint(
    folder: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    facts: dict[str, Any],
) -> None:
    """Writes weights, optimizer state, progress and facts; complete or not at all."""
    moments = optimizer.state_dict()["state"]
    tensors = {
        f"{i}.{name}": value.contiguous() for i, state in moments.items() for name, value in state.items()
    }
    write_folder(
        folder,
        {
            "weights.safetensors": safetensors.torch.save(_contiguous(module.state_dict())),
            "optimizer.safetensors": safetensors.torch.save(tensors),
            "progress.json": dump_json(asdict(progress)),
            "facts.json": dump_json(facts),
        },
        SCHEMA,
    )


def read_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], Progress, dict[str, Any]]:
    """Weights, optimizer tensors, progress and facts. Raises CheckpointError where anything is wrong."""
    files = read_folder(folder, SCHEMA)
    return (
        safetensors.torch.load(files["weights.safetensors"]),
        safetensors.torch.load(files["optimizer.safetensors"]),
        Progress(**json.loads(files["progress.json"])),
        json.loads(files["facts.json"]),
    )


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts saved moments back."""
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in tensors.items():
        index, part = name.split(".", 1)
        state["state"].setdefault(int(index), {})[part] = value
    optimizer.load_state_dict(state)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
