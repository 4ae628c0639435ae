"""Writing one `.npy` file piece by piece, its length known only at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

HEADER = 128  # bytes; a multiple of 64, so that a memory map of the data is aligned


class NpyWriter:
    """Appends rows of one dtype and row shape to a `.npy` file.

    Args:
        path: of the file.
        dtype: of its numbers.
        row: shape of a row.
    """

    def __init__(self, path: Path, dtype: Any, row: tuple[int, ...] = ()) -> None:
        self.path, self.dtype, self.row, self.n_rows = path, np.dtype(dtype), row, 0
        self._file = path.open("wb")
        self._file.write(b"\0" * HEADER)

    def append(self, rows: np.ndarray) -> None:
        if rows.shape[1:] != self.row:
            raise ValueError(f"{self.path.name}: rows of shape {self.row}, not {rows.shape[1:]}")
        np.ascontiguousarray(rows, self.dtype).tofile(self._file)
        self.n_rows += len(rows)

    def close(self) -> None:
        """Writes the header, now that the length is known."""
        self._file.seek(0)
        self._file.write(_header((self.n_rows, *self.row), self.dtype))
        self._file.close()

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close() if kind is None else self._file.close()


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    facts = repr({"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    length = (HEADER - 10).to_bytes(2, "little")
    return npy_format.magic(1, 0) + length + facts.ljust(HEADER - 11).encode() + b"\n"


def write_npy(path: Path, array: np.ndarray) -> None:
    """A whole array as a `.npy` file."""
    with NpyWriter(path, array.dtype, array.shape[1:]) as writer:
        writer.append(array)
