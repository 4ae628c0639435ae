"""Where training stands, written so that it can go on from there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmseq.bundle import dump_json, read_folder, write_folder
from mmseq.carried import Rows
from mmseq.tensors import dump_tensors, parse_tensors
from mmseq.training.guard import Guard

SCHEMA = "mmseq checkpoint 3"


@dataclass
class Progress:
    """How far training came.

    Attributes:
        step: optimizer steps taken.
        best: the best monitored value so far; None before the first.
        stale: epochs since the best.
        done: training has ended.
        data: fingerprint of the store that is trained on.
        experiment: digest of what is trained; see `mmseq.training.resume.identity`.
        loss, n_losses: sum of the losses of this epoch's steps, and how many were taken.
        guard: what it knows of the losses, and of steps that were not taken.
    """

    step: int = 0
    best: float | None = None
    stale: int = 0
    done: bool = False
    data: str = ""
    experiment: str = ""
    loss: float = 0.0
    n_losses: int = 0
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True)
class Checkpoint:
    """All that training needs to go on.

    Attributes:
        weights: of the model and its balancer.
        moments: the optimizer's tensors; see `restore_optimizer`.
        progress: how far it came.
        facts: what was fitted, as JSON.
        carried: the states of samples of which only a window has been seen; see `Carried`.
    """

    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    progress: Progress
    facts: dict[str, Any]
    carried: Rows


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; complete or not at all."""
    rows = list(checkpoint.carried.values())
    carried = {path: torch.cat([row[path] for row in rows]) for path in rows[0]} if rows else {}
    write_folder(
        folder,
        {
            "weights.safetensors": dump_tensors(checkpoint.weights),
            "optimizer.safetensors": dump_tensors(checkpoint.moments),
            "progress.json": dump_json(asdict(checkpoint.progress)),
            "facts.json": dump_json(checkpoint.facts),
            "carried.safetensors": dump_tensors(carried),
            "carried.json": dump_json(list(checkpoint.carried)),
        },
        SCHEMA,
    )


def read_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint back. Raises CheckpointError where anything is wrong."""
    files = read_folder(folder, SCHEMA)
    carried = parse_tensors(files["carried.safetensors"])
    ids = json.loads(files["carried.json"])
    return Checkpoint(
        parse_tensors(files["weights.safetensors"]),
        parse_tensors(files["optimizer.safetensors"]),
        _progress(json.loads(files["progress.json"])),
        json.loads(files["facts.json"]),
        {id: {path: value[i : i + 1] for path, value in carried.items()} for i, id in enumerate(ids)},
    )


def _progress(told: dict[str, Any]) -> Progress:
    return Progress(**{**told, "guard": Guard(**told["guard"])})


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors, by the place of their parameter and their name."""
    states = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, state in states.items() for name, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts saved moments back."""
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in tensors.items():
        index, part = name.split(".", 1)
        state["state"].setdefault(int(index), {})[part] = value
    optimizer.load_state_dict(state)
