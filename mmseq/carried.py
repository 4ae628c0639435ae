"""What the windows of a batch hand on to one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from mmseq.batch import Batch
from mmseq.state import State, map_state

Result = TypeVar("Result")


class Carried:
    """The states of samples of which only a window has been seen so far.

    Attributes:
        states: by the ids of the samples that run side by side.
    """

    def __init__(self) -> None:
        self.states: dict[tuple[str, ...], State] = {}

    def run(self, model: Callable[[Batch, State | None], tuple[Result, State]], batch: Batch) -> Result:
        """Runs a model on a batch, from where the window before left off; no gradient goes back there.

        Raises:
            KeyError: the window before has not been run.
        """
        ids = tuple(batch.ids)
        before = self.states.pop(ids) if batch.begin else None
        result, after = model(batch, before)
        if batch.timeline.continues:
            self.states[ids] = map_state(Tensor.detach, after)
        return result
