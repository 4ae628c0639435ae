"""Some rows of one modality or task, on their way to the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int, Num

from mmseq.store.layout import ABSOLUTE_TIME


@dataclass(frozen=True)
class Piece:
    """Rows sorted by sample and time.

    Attributes:
        sample: of each row.
        arrays: by name, one row each: `values` and `code` (row, column) and `payload`, as the store holds
            them, and `ABSOLUTE_TIME`, where rows have a time.
    """

    sample: Int[np.ndarray, "row"]
    arrays: dict[str, Any]

    @property
    def time(self) -> Num[np.ndarray, "row"] | None:
        """Absolute; None where rows have none."""
        return self.arrays.get(ABSOLUTE_TIME)

    def __len__(self) -> int:
        return len(self.sample)

    def __getitem__(self, part: slice | Int[np.ndarray, "picked"]) -> Piece:
        return Piece(self.sample[part], {name: array[part] for name, array in self.arrays.items()})

    def __add__(self, other: Piece) -> Piece:
        arrays = {name: np.concatenate([array, other.arrays[name]]) for name, array in self.arrays.items()}
        return Piece(np.concatenate([self.sample, other.sample]), arrays)


class Queue:
    """Pieces in the order of samples, to be taken sample range by sample range."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._rest: Piece | None = None
        self._last = -1

    def until(self, stop: int) -> Iterator[Piece]:
        """The rows of all samples before `stop` that were not taken yet.

        Raises:
            RuntimeError: rows come out of order, which would mix up samples.
        """
        while (piece := self._rest or self._next()) is not None:
            inside = int(np.searchsorted(piece.sample, stop))
            self._rest = piece[inside:] if inside < len(piece) else None
            if inside:
                yield piece[:inside]
            if self._rest is not None:
                return

    def _next(self) -> Piece | None:
        piece = next(self._pieces, None)
        if piece is not None and len(piece):
            if piece.sample[0] < self._last or np.any(piece.sample[1:] < piece.sample[:-1]):
                raise RuntimeError("rows came out of order; the store would be wrong")
            self._last = int(piece.sample[-1])
        return piece
