"""What all kinds of targets have in common: how they are made of what a store has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmseq.batch.asked import Asked
from mmseq.batch.events import Events
from mmseq.batch.target import Target

if TYPE_CHECKING:
    from mmseq.heads import Head
    from mmseq.modalities import Modality
    from mmseq.store import Gathered, Store, Window
    from mmseq.store.gather import Rows


@dataclass(frozen=True)
class StoredModality:
    """A modality, and the store that has its events under a name."""

    store: Store
    name: str
    modality: Modality

    def events(self, rows: Rows) -> Events:
        """Rows as events; where they were gathered without arrays, their steps."""
        step = torch.from_numpy(rows.step)
        if not rows.arrays:
            return Events(step)
        return self.modality.events(step, rows.arrays, self.store.vocabularies(self.name))


@dataclass(frozen=True)
class Given:
    """What a store has of what is asked for.

    Attributes:
        asked: what that is.
        gathered: the timeline, the events, and the labels that are stored.
        events: by modality, as they are.
        hidden: by modality, the cells that the model is not to see.
    """

    asked: Asked
    gathered: Gathered
    events: Mapping[str, Events]
    hidden: Mapping[str, Bool[Tensor, "event feature"]]


class TargetMaker(ABC):
    """Makes the targets of one task.

    Args:
        head: encodes and weighs them.
    """

    def __init__(self, head: Head) -> None:
        self.head = head

    @abstractmethod
    def needs(self, window: Window | None) -> Mapping[str, bool]:
        """The modalities whose events must be given for label weights, and whether with their arrays.

        Args:
            window: what the weights are of; None: whole samples. A maker that looks past its end reads for
                itself, and needs none.
        """

    @abstractmethod
    def target(self, given: Given) -> Target:
        """The labels of what is asked for."""

    def weight(self, target: Target, asked: Asked) -> float:
        """The label weight of a batch, or of one window of it."""
        return float(self.head.weights(target).sum())

    def drawing_from(self, among: Int64[np.ndarray, "member"]) -> TargetMaker:
        """The same, but with the events of these samples as negatives, where there are any."""
        return self
