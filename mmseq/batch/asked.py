"""What a batch is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from mmseq.batch.hiding import EVALUATION, Place

if TYPE_CHECKING:
    from mmseq.store import Window


@dataclass(frozen=True)
class Asked:
    """What a batch is to hold.

    Attributes:
        samples: their places in the store.
        window: the steps [first, last) of each sample; None: all.
        seed: of an optimizer step, in training; None: in evaluation.
        hide: in evaluation, whether cells are hidden and the tasks that hide them are asked; else the other
            tasks are, and see everything. Training hides, and asks all.
    """

    samples: Int64[np.ndarray, "member"]
    window: Window | None = None
    seed: int | None = None
    hide: bool = False

    @property
    def hides(self) -> bool:
        return self.hide or self.seed is not None

    def place(self, starts: Int64[np.ndarray, "bound"]) -> Place:
        """Where its events stand."""
        begin = 0 if self.window is None else self.window[0]
        return Place(self.samples, starts, begin, EVALUATION if self.seed is None else self.seed)
