"""Cells that hold more than a number or a word: text, pixels, sound, a vector."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow

from mmseq.ragged import Ragged
from mmseq.sources.binary import decode

DTYPES = ("uint8", "int16", "float16", "float32")


class BadCell(Exception):
    """A cell breaks a rule.

    Args:
        row: its place among those that were read together.
        told: which rule, and what came.
    """

    def __init__(self, row: int, told: str) -> None:
        super().__init__(told)
        self.row = row


@dataclass(frozen=True)
class Payload(ABC):
    """How the cells of a column become arrays that a store keeps, one a row.

    Its fields decide what is stored, and so are part of the store's fingerprint.

    Attributes:
        column: where the cells are.
        dtype: of what is stored: one of `DTYPES`.
        shape: of one row's array; None: a row of elements, of any number.
        files: a cell may be the path of a file.
    """

    column: str
    dtype: str
    shape: tuple[int, ...] | None
    files: ClassVar[bool] = False

    @abstractmethod
    def value(self, cell: Any, folder: Path) -> np.ndarray:
        """The array of one cell: text, bytes, a list or an array.

        Args:
            cell: not a missing one.
            folder: that a path is relative to.

        Raises:
            ValueError, OSError: it breaks a rule; the message says which, and what came.
        """

    def read(self, cells: pyarrow.Array, folder: Path) -> np.ndarray | Ragged:
        """The arrays of some cells of a table, none of which is missing.

        Args:
            cells: text, bytes, lists, or structs that hold bytes in base64.
            folder: that paths are relative to.

        Returns:
            (row, *shape); ragged without a shape.

        Raises:
            BadCell: one breaks a rule.
        """
        rows = []
        for i, cell in enumerate(cells):
            try:
                rows.append(self.value(decode(cell.as_py()), folder))
            except (ValueError, OSError) as error:
                raise BadCell(i, str(error)) from error
        return self.join(rows)

    def join(self, rows: Sequence[np.ndarray]) -> np.ndarray | Ragged:
        """Some rows' arrays as one."""
        if self.shape is None:
            return Ragged.of(rows, self.dtype)
        return np.stack(rows) if len(rows) else np.empty((0, *self.shape), self.dtype)
