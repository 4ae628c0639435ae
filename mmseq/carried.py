"""What the windows of a batch hand on to one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from mmseq.batch import Batch
from mmseq.errors import CheckpointError
from mmseq.state import State, flatten, unflatten

Result = TypeVar("Result")
Rows = dict[str, dict[str, Tensor]]
"""By sample, the tensors of its state by their path, one row each."""


def bad_tensors(state: Mapping[str, Tensor]) -> list[str]:
    """Paths in a state of what has to be finite and is not."""
    return [path for path, value in state.items() if _is_number(path, value) and not value.isfinite().all()]


def _is_number(path: str, value: Tensor) -> bool:
    """Elsewhere NaN may say that there is nothing yet, as of times."""
    return path.startswith(("core/", "readouts/")) and value.is_floating_point()


class Carried:
    """The states of samples of which only a window has been seen so far.

    Attributes:
        states: by the sample's id, however samples are put together in batches.
        restored: of all processes' samples, from a checkpoint; each takes what is its own.
        before: what the last batch went on from.
        batch: that batch; None: there was none yet.
        after: the tensors that it hands on, by their path; none where it hands on nothing.
    """

    def __init__(self, restored: Rows | None = None) -> None:
        self.states: Rows = {}
        self.restored = dict(restored or {})
        self.before: State | None = None
        self.batch: Batch | None = None
        self.after: dict[str, Tensor] = {}

    def run(self, model: Callable[[Batch, State | None], tuple[Result, State]], batch: Batch) -> Result:
        """Runs a model on a batch, from where the window before left off; no gradient goes back there.

        Raises:
            CheckpointError: the window before has not been run.
        """
        self.batch = batch
        self.before = self._take(batch) if batch.begin else None
        result, after = model(batch, self.before)
        self.after = {}
        if batch.timeline.continues:
            self.after = {path: value.detach() for path, value in flatten(after).items()}
            rows = {path: value.split(1) for path, value in self.after.items()}
            for i, id in enumerate(batch.ids):
                self.states[id] = {path: values[i] for path, values in rows.items()}
        return result

    def nan_if_bad(self) -> float | Tensor:
        """NaN where what the last batch hands on is not finite; else 0."""
        zeros = ((value * 0).sum() for path, value in self.after.items() if _is_number(path, value))
        return sum(zeros, start=0.0)

    def _take(self, batch: Batch) -> State | None:
        """The states of a batch's samples, side by side; they are handed on once."""
        self.states |= {id: self.restored.pop(id) for id in batch.ids if id in self.restored}
        missing = [id for id in batch.ids if id not in self.states]
        if missing:
            raise CheckpointError(
                f"sample {missing[0]!r}, step {batch.begin}: goes on from the window before; its state is "
                "not here; begin the sample anew"
            )
        rows = [self.states.pop(id) for id in batch.ids]
        if not rows:
            return None
        device = batch.timeline.starts.device
        return unflatten({path: torch.cat([row[path] for row in rows]).to(device) for path in rows[0]})
