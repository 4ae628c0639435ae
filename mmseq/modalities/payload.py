"""What modalities share whose events are one payload each: text, an image, sound, a vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import Events, Timeline
from mmseq.errors import DataError
from mmseq.modalities import Arrays, Modality, cells_of
from mmseq.sources import Payload
from mmseq.sources.binary import KEY, decode, is_encoded
from mmseq.state import State


class PayloadModality(Modality):
    """An event is one payload; a row or raw value without one is no event. It remembers nothing.

    A subclass sets `payload`, and writes `make` and `ready`.

    Attributes:
        payload: how raw values are read, as they were for training.
    """

    payload: Payload

    @abstractmethod
    def make(self, step: Tensor, payload: Any) -> Events:
        """What the store holds of some events, an array (event, …) or `Ragged`, → raw event tensors."""

    @abstractmethod
    def ready(self, events: Any) -> Events:
        """Raw events → normalised ones, in the model's dtype."""

    def events(self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]) -> Events:
        return self.make(step, arrays["payload"])

    def parse(self, step: Tensor, values: Sequence[Any]) -> Events:
        cells = [self._cell(value) for value in values]
        there = [i for i, cell in enumerate(cells) if not _is_missing(cell)]
        rows = [self._read(cells[i]) for i in there]
        return self.make(step[torch.tensor(there, dtype=torch.int64)], self.payload.join(rows))

    def _cell(self, value: Any) -> Any:
        """What a raw value holds: it is the cell, or has it by column."""
        is_bytes = is_encoded(value) and KEY not in self.spec.columns
        return cells_of(value, self.spec.columns)[0] if isinstance(value, Mapping) and not is_bytes else value

    def _read(self, cell: Any) -> np.ndarray:
        try:
            return self.payload.value(decode(cell), Path())
        except (ValueError, OSError) as error:
            raise DataError(f"{error}; correct it") from error

    def forward(self, events: Any, timeline: Timeline, state: State | None = None) -> tuple[Events, State]:
        return self.ready(events), {}


def _is_missing(cell: Any) -> bool:
    """As in a table, where an empty cell is none."""
    return cell is None or (isinstance(cell, str) and not cell)
