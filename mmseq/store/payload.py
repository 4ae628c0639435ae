"""Payloads between a table's cells and shard files: read with their place told, written, and gathered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from jaxtyping import Int64

from mmseq.errors import DataError
from mmseq.ragged import Ragged, ranges, starts_of
from mmseq.sources import BadCell
from mmseq.store.layout import row_file
from mmseq.store.locate import row_at
from mmseq.store.npy import NpyWriter
from mmseq.store.query import only_row

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from mmseq.store.content import Content

PART, ENDS = "payload", "ends"
ROWS = 131_072  # at a time, of what has no payload
_LENGTHS = {"BLOB": "octet_length", "VARCHAR": "strlen"}  # in bytes
_BYTES, _TYPICAL = 1 << 26, 1 << 13  # in memory at a time; of a row of no set length


def rows_at_a_time(dtype: str, shape: Sequence[int] | None) -> int:
    """How many rows of a payload are in memory together."""
    n_bytes = _TYPICAL if shape is None else np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
    return max(1, min(ROWS, _BYTES // max(1, n_bytes)))


def cells_at_a_time(connection: DuckDBPyConnection, content: Content) -> int:
    """How many rows of a content are in memory together, before they are read and after.

    Whole files in cells may be much larger than what is kept of them.
    """
    payload = content.reading.payload
    if payload is None:
        return ROWS
    n_rows = rows_at_a_time(payload.dtype, payload.shape)
    cell = content.raw.cells.get(str(content.payload))
    if cell is None or cell.type not in _LENGTHS or payload.shape is None:
        return n_rows
    length = _LENGTHS[cell.type]
    query = f"SELECT coalesce(max({length}({content.payload})), 0) FROM {content.raw.name}"
    (largest,) = only_row(connection, query)
    return max(1, min(n_rows, _BYTES // max(1, largest)))


def raise_bad_payload(connection: DuckDBPyConnection, content: Content, rowid: int, bad: BadCell) -> NoReturn:
    """Tells a cell that breaks a rule by its file and row."""
    assert content.reading.payload is not None
    table, column = content.raw.table, content.reading.payload.column
    raise DataError(
        f"{table.where} {row_at(connection, table, rowid)}, column {column!r}: {bad}; correct it or drop "
        "the row"
    ) from bad


class RaggedWriter:
    """Appends rows of any length to two files: their elements, and where each ends.

    Args:
        folder: of the shard.
        name: of the modality.
        dtype: of the elements.
        stack: closes the files.
    """

    def __init__(self, folder: Path, name: str, dtype: str, stack: ExitStack) -> None:
        self._elements = stack.enter_context(NpyWriter(folder / row_file(name, PART), dtype))
        self._ends = stack.enter_context(NpyWriter(folder / row_file(name, ENDS), np.int64))

    def append(self, rows: Ragged) -> None:
        """Writes rows. Raises OSError where the disk refuses."""
        before = self._elements.n_rows
        self._elements.append(rows.elements)
        self._ends.append(before + rows.starts[1:])


def take_ragged(
    parts: Sequence[tuple[dict[str, np.ndarray], Any]], order: Any, like: np.ndarray, name: str
) -> Ragged:
    """The picked rows of a payload of no set length.

    Args:
        parts: of each shard, its arrays and the rows that are wanted.
        order: brings the rows of all parts into their order; None: they are in it.
        like: an empty array of the elements' dtype.
        name: of the modality.
    """
    part, ends = row_file(name, PART), row_file(name, ENDS)
    taken = [_take(arrays[part], arrays[ends], index) for arrays, index in parts]
    rows = Ragged.join([Ragged(like, np.zeros(1, np.int64)), *taken])
    return rows if order is None else rows[order]


def _take(elements: np.ndarray, ends: np.ndarray, rows: Int64[np.ndarray, "row"]) -> Ragged:
    stop = ends.take(rows)
    first = np.where(rows > 0, ends.take(rows - 1, mode="clip"), 0) if len(rows) else stop
    starts = starts_of(stop - first)
    return Ragged(elements.take(ranges(first, stop - first, starts)), starts)
