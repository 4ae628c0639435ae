"""The checkpoints of a run on its disk."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import torch

from mmseq.aside import discard
from mmseq.bundle import end_replacement, names_in
from mmseq.carried import bad_tensors
from mmseq.disk import sync, writing
from mmseq.errors import CheckpointError, ConfigError, NumericError
from mmseq.training.checkpoint import Checkpoint, read_checkpoint, save_checkpoint

BEST = "best"
_NAME = re.compile(r"step-(\d{9})")


def step_name(step: int) -> str:
    """What the checkpoint of a step is called."""
    return f"step-{step:09d}"


def _bad(checkpoint: Checkpoint) -> str | None:
    """The first thing in a checkpoint that has to be finite and is not."""
    for part, tensors in (("weights", checkpoint.weights), ("optimizer", checkpoint.moments)):
        for name, value in tensors.items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                return f"{part} {name}"
    for id, row in checkpoint.carried.items():
        if bad := bad_tensors(row):
            return f"the state {bad[0]} of sample {id!r}"
    return None


class Checkpoints:
    """The latest few, `step-000001200` and so on, and the best epoch's, `best`.

    Args:
        folder: where they are.
        experiment: digest of what is trained; a checkpoint of anything else is refused.
        keep: how many of the latest ones stay.
        resume: the command that goes on with the run, for messages.
    """

    def __init__(self, folder: Path, experiment: str, keep: int, resume: str) -> None:
        self.folder, self.experiment, self.keep, self.resume = folder, experiment, keep, resume

    def names(self) -> list[str]:
        """Of the checkpoints by step, the latest last."""
        return sorted(name for name in names_in(self.folder) if _NAME.fullmatch(name))

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes where training stands. Older ones go once the new one has been read back.

        Raises:
            CheckpointError, NumericError: it cannot be written, or not all of it is finite; those that were
                there before stay.
        """
        name = step_name(checkpoint.progress.step)
        if not self._is_there(name, checkpoint):
            self._write(name, checkpoint)
        for old in [other for other in self.names() if other != name][: -(self.keep - 1) or None]:
            discard(self.folder / old)

    def _is_there(self, name: str, checkpoint: Checkpoint) -> bool:
        """Whether the same was written before, as where a step is taken again: nothing is to be replaced."""
        try:
            return name in self.names() and self.read(name).progress == checkpoint.progress
        except CheckpointError:
            return False

    def save_best(self, checkpoint: Checkpoint) -> None:
        """Writes the best epoch so far; see `save`."""
        self._write(BEST, checkpoint)

    def _write(self, name: str, checkpoint: Checkpoint) -> None:
        if bad := _bad(checkpoint):
            raise NumericError(
                f"{self.folder / name}: keeps finite numbers only; {bad} has others; the checkpoints before "
                "it stay; start a run with a lower training.optimizer.lr"
            )
        save_checkpoint(self.folder / name, checkpoint)
        self.read(name)

    def read(self, name: str) -> Checkpoint:
        """One of them. Raises CheckpointError where it is not whole, or not this run's."""
        checkpoint = read_checkpoint(self.folder / name)
        step = _NAME.fullmatch(name)
        if step is not None and int(step[1]) != checkpoint.progress.step:
            raise CheckpointError(
                f"{self.folder / name}: is of step {checkpoint.progress.step}; another was put in its place"
            )
        if checkpoint.progress.experiment != self.experiment:
            raise CheckpointError(
                f"{self.folder / name}: is of another run, or config.resolved.yaml was changed since, or "
                "mmseq itself has other options now; bring back what was there"
            )
        return checkpoint

    def best(self, step: int) -> Checkpoint:
        """That of the best epoch, which ended with this step. Raises CheckpointError as `read`."""
        checkpoint = self.read(BEST)
        if checkpoint.progress.step != step:
            raise CheckpointError(
                f"{self.folder / BEST}: must be of step {step}; is of step {checkpoint.progress.step}: "
                "another was put in its place; bring back what was there"
            )
        return checkpoint

    def latest(self) -> Checkpoint:
        """Where to go on from.

        Raises:
            CheckpointError: it is not whole; names the one before it that is.
            ConfigError: there is none.
        """
        names = self.names()
        if not names:
            anew = shlex.join(
                ["mmseq", "train", "--config", str(self.folder.parent / "config.resolved.yaml")]
            )
            raise ConfigError(
                f"{self.folder}: needs a checkpoint to go on from; there is none; start anew with `{anew}`"
            )
        try:
            return self.read(names[-1])
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {self._offer(names[:-1])}") from error

    def _offer(self, names: list[str]) -> str:
        for name in reversed(names):
            try:
                self.read(name)
            except CheckpointError:
                continue
            return f"{name} before it is whole: go on from there with `{self.resume} --from {name}`"
        return "no other checkpoint is whole: start anew"

    def earlier(self, name: str) -> Checkpoint:
        """One that was asked for.

        Raises:
            ConfigError: there is no such checkpoint.
            CheckpointError: it is not whole.
        """
        if name not in self.names():
            there = ", ".join(self.names()) or "none"
            raise ConfigError(f"--from {name}: there is no such checkpoint; there are: {there}")
        return self.read(name)

    def set_aside_after(self, step: int) -> None:
        """Renames later ones to `<name>.left`, since training will write them again.

        Raises:
            CheckpointError: the disk refuses.
        """
        for path in (self.folder / name for name in self.names()):
            end_replacement(path)
            if int(path.name.removeprefix("step-")) > step:
                aside = path.with_name(f"{path.name}.left")
                discard(aside)
                with writing(aside):
                    path.rename(aside)
                    sync(self.folder)
