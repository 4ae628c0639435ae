"""Where training stands, written so that it can go on from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from mmseq.bundle import Files, dump_json, read_folder, write_folder
from mmseq.carried import Rows
from mmseq.errors import CheckpointError
from mmseq.outline import check_weights
from mmseq.tensors import dump_tensors
from mmseq.training.guard import Guard

SCHEMA = "mmseq checkpoint 5"


@dataclass
class Progress:
    """How far training came.

    Attributes:
        step: optimizer steps taken.
        best: the best monitored value so far; None before the first.
        best_step: the step at which that was.
        stale: epochs since the best.
        done: training has ended.
        data: fingerprint of the store that is trained on.
        experiment: digest of what is trained; see `mmseq.training.resume.identity`.
        loss, n_losses: sum of the losses of this epoch's steps, and how many were taken.
        guard: what it knows of the losses, and of steps that were not taken.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    done: bool = False
    data: str = ""
    experiment: str = ""
    loss: float = 0.0
    n_losses: int = 0
    guard: Guard = field(default_factory=Guard)


_PROGRESS = TypeAdapter(Progress)


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
    facts = files.json("facts.json")
    if not isinstance(facts, dict):
        raise CheckpointError(f"{folder / 'facts.json'}: must be what was fitted; altered: copy it again")
    return Checkpoint(
        files.tensors("weights.safetensors"),
        files.tensors("optimizer.safetensors"),
        _progress(files, "progress.json"),
        facts,
        _carried(files.json("carried.json"), files.tensors("carried.safetensors"), folder / "carried.json"),
    )


def _progress(files: Files, name: str) -> Progress:
    told = files.json(name)
    try:
        progress = _PROGRESS.validate_python(told)
    except ValueError as error:
        problem = " ".join(str(error).splitlines()[1:3])[:200]
    else:
        problem = "a key is missing or unknown"
        if asdict(progress) == told:
            return progress
    raise CheckpointError(
        f"{files.folder / name}: must tell how far training came; {problem}; it was altered: copy it again"
    )


def _carried(ids: Any, states: dict[str, Tensor], path: Path) -> Rows:
    listed = isinstance(ids, list) and all(isinstance(id, str) for id in ids) and len(set(ids)) == len(ids)
    if not listed or any(value.dim() == 0 or len(value) != len(ids) for value in states.values()):
        raise CheckpointError(
            f"{path}: must name the samples of carried.safetensors; it does not; copy the whole folder"
        )
    return {id: {name: value[i : i + 1] for name, value in states.items()} for i, id in enumerate(ids)}


def moments_of(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors, by the place of their parameter and their name."""
    states = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, state in states.items() for name, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts saved moments back. Raises CheckpointError where they are of other parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        place, _, part = name.partition(".")
        known = part and place.isascii() and place.isdigit() and int(place) < len(parameters)
        if not known or value.shape not in (parameters[int(place)].shape, ()):
            raise CheckpointError(
                f"optimizer.safetensors: must hold the moments of this optimizer; {name[:60]!r} of shape "
                f"{tuple(value.shape)} is of none of its parameters; bring back what was there"
            )
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in tensors.items():
        index, part = name.split(".", 1)
        state["state"].setdefault(int(index), {})[part] = value
    optimizer.load_state_dict(state)


def check_fits(saved: Checkpoint, module: nn.Module) -> None:
    """Raises CheckpointError where a checkpoint's weights are not those of what is trained."""
    expected = {name: (value.shape, value.dtype) for name, value in module.state_dict().items()}
    try:
        check_weights(saved.weights, expected)
    except ValueError as error:
        raise CheckpointError(
            f"checkpoint of step {saved.progress.step}: must be of the model that the run's configuration "
            f"tells; {error}; bring back what was there"
        ) from error
