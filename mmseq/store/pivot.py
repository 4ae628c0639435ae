"""Rows of (code, value) → one row for each sample and time, a column for each code."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmseq.store.layout import ABSOLUTE_TIME
from mmseq.store.piece import Piece

CELLS = 8_000_000  # of the wide table in memory at a time


class Pivot:
    """Pivots sorted rows; values of one cell are averaged, and counted.

    Args:
        n_columns: of the wide table.
        dtype: of its values.

    Attributes:
        n_averaged: cells that are a mean of several values.
    """

    def __init__(self, n_columns: int, dtype: str) -> None:
        self.n_columns, self.dtype = n_columns, dtype
        self.n_averaged = 0

    def pieces(self, long: Iterator[Piece]) -> Iterator[Piece]:
        """Long pieces → wide ones; a (sample, time) that straddles long pieces is one row."""
        rest: Piece | None = None
        for piece in long:
            piece = piece if rest is None else rest + piece
            first = first_rows(piece)
            yield from self._wide(piece[: first[-1]], first[:-1])
            rest = piece[first[-1] :]
        if rest is not None:
            yield from self._wide(rest, np.zeros(1, np.int64))

    def _wide(self, piece: Piece, first: np.ndarray) -> Iterator[Piece]:
        """`first` are the rows at which a new (sample, time) begins."""
        rows = max(1, CELLS // max(1, self.n_columns))
        bounds = np.append(first, len(piece))
        for start in range(0, len(first), rows):
            some = first[start : start + rows]
            yield self._table(piece, some, int(bounds[start + len(some)]))

    def _table(self, piece: Piece, first: np.ndarray, stop: int) -> Piece:
        part = piece[first[0] : stop]
        row = np.repeat(np.arange(len(first)), np.diff(np.append(first, stop)))
        cell = row * self.n_columns + part.arrays["code"]
        size = len(first) * self.n_columns
        counts = np.bincount(cell, minlength=size)
        self.n_averaged += int((counts > 1).sum())
        sums = np.bincount(cell, weights=part.arrays["value"], minlength=size)
        with np.errstate(invalid="ignore"):
            means = np.divide(sums, counts, dtype=np.float64)
        values = means.astype(self.dtype).reshape(len(first), self.n_columns)
        times = {} if piece.time is None else {ABSOLUTE_TIME: piece.time[first]}
        return Piece(piece.sample[first], {"values": values, **times})


def first_rows(piece: Piece) -> np.ndarray:
    """The rows at which a new (sample, time) begins."""
    new = np.ones(len(piece), bool)
    new[1:] = piece.sample[1:] != piece.sample[:-1]
    if piece.time is not None:
        new[1:] |= piece.time[1:] != piece.time[:-1]
    return np.flatnonzero(new)
