"""One `.npy` file: written piece by piece, its length known only at the end; its header read back."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from mmseq.disk import naming

_FACTS = re.compile(
    rb"\{'descr': '([<|][a-zA-Z]\d{1,9})', 'fortran_order': False, "
    rb"'shape': \((\d{1,18}(?:, ?\d{1,18}){0,4}),?\),? ?\} *\n"
)
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
        self._write(b"\0" * HEADER)

    def append(self, rows: np.ndarray) -> None:
        """Writes rows. Raises OSError, which names the file, where the disk refuses."""
        if rows.shape[1:] != self.row:
            raise ValueError(f"{self.path.name}: rows of shape {self.row}, not {rows.shape[1:]}")
        # Not by `tofile`, which does not say why it failed.
        self._write(np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)
        self.n_rows += len(rows)

    def close(self) -> None:
        """Writes the header, now that the length is known."""
        with naming(self.path):
            self._file.seek(0)
            self._file.write(_header((self.n_rows, *self.row), self.dtype))
            self._file.close()

    def _write(self, content: bytes | memoryview) -> None:
        with naming(self.path):
            self._file.write(content)

    def __enter__(self) -> NpyWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            with suppress(OSError):  # of what could not be written, told already
                self._file.close()


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    facts = repr({"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape})
    length = (HEADER - 10).to_bytes(2, "little")
    return npy_format.magic(1, 0) + length + facts.ljust(HEADER - 11).encode() + b"\n"


def read_header(header: bytes) -> tuple[str, tuple[int, ...]]:
    """The dtype and shape that a header tells, as text and numbers; nothing in it is evaluated.

    Raises:
        ValueError: it is not one of `NpyWriter`'s, nor one that numpy writes for such an array.
    """
    begin = npy_format.magic(1, 0) + (HEADER - 10).to_bytes(2, "little")
    found = _FACTS.fullmatch(header[len(begin) :])
    if found is None or header[: len(begin)] != begin or len(header) != HEADER:
        raise ValueError("its header is not that of a plain array")
    return found[1].decode(), tuple(map(int, found[2].split(b",")))


def write_npy(path: Path, array: np.ndarray) -> None:
    """A whole array as a `.npy` file."""
    with NpyWriter(path, array.dtype, array.shape[1:]) as writer:
        writer.append(array)
