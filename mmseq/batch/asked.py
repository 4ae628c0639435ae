"""What a batch is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

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
        early: labels of whole samples stand at each of their steps, instead of the last.
        bare: targets are made for their label weights alone.
    """

    samples: Int64[np.ndarray, "member"]
    window: Window | None = None
    seed: int | None = None
    hide: bool = False
    early: bool = False
    bare: bool = False

    @property
    def hides(self) -> bool:
        return self.hide or self.seed is not None

    @property
    def begin(self) -> int:
        """The place in its sample of each sample's first step."""
        return 0 if self.window is None else self.window[0]
