"""Typed rows, sorted by sample and time, → shard files; only a part is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from duckdb import DuckDBPyConnection
from jaxtyping import Int64

from mmseq.sources import BadCell, Recordings
from mmseq.store.content import Content
from mmseq.store.cut import Ranges
from mmseq.store.layout import ABSOLUTE_TIME, row_file, shard_folder
from mmseq.store.npy import NpyWriter
from mmseq.store.payload import PART, RaggedWriter, cells_at_a_time, raise_bad_payload
from mmseq.store.piece import Piece, Queue
from mmseq.store.pivot import Pivot
from mmseq.store.unfold import WindowReader
from mmseq.store.window import Window


def write_rows(
    connection: DuckDBPyConnection, content: Content, window: Window, shards: Ranges, root: Path,
    clock: np.dtype, folder: Path,
) -> tuple[Int64[np.ndarray, "sample"], int]:  # fmt: skip
    """Writes the arrays of a modality or task, and its times for the timeline to be made of.

    Args:
        clock: dtype of all times: int64 nanoseconds, or float64 numbers.
        folder: that paths in cells are relative to.

    Returns:
        the rows of each sample, and how many cells of a pivoted table are means of several values.
    """
    counts = np.zeros(shards[-1][1] if shards else 0, np.int64)
    pieces, pivot = _pieces(connection, content, window, folder), Pivot(len(content.numbers), content.dtype)
    queue = Queue(pieces if content.reading.pivot is None else pivot.pieces(pieces))
    for shard, (_, stop) in enumerate(shards):
        with ExitStack() as stack:
            writers = _writers(content, clock, shard_folder(root, shard), stack)
            for piece in queue.until(stop):
                _count(piece, counts)
                for name, writer in writers.items():
                    writer.append(piece.arrays[name])
    return counts, pivot.n_averaged


def _count(piece: Piece, counts: Int64[np.ndarray, "sample"]) -> None:
    first = int(piece.sample[0])
    some = np.bincount(piece.sample - first)
    counts[first : first + len(some)] += some


def _writers(
    content: Content, clock: np.dtype, folder: Path, stack: ExitStack
) -> dict[str, NpyWriter | RaggedWriter]:
    parts: dict[str, tuple[str | np.dtype, tuple[int, ...]]] = {}
    if content.numbers:
        parts["values"] = (content.dtype, (len(content.numbers),))
    if content.vocabularies:
        parts["code"] = ("int32", (len(content.vocabularies),))
    if content.time is not None:
        parts[ABSOLUTE_TIME] = (clock, ())
    payload, writers = content.reading.payload, dict[str, NpyWriter | RaggedWriter]()
    if payload is not None and payload.shape is not None:
        parts[PART] = (payload.dtype, payload.shape)
    elif payload is not None:
        writers[PART] = RaggedWriter(folder, content.name, payload.dtype, stack)
    return writers | {
        part: stack.enter_context(NpyWriter(folder / row_file(content.name, part), dtype, row))
        for part, (dtype, row) in parts.items()
    }


def _pieces(
    connection: DuckDBPyConnection, content: Content, window: Window, folder: Path
) -> Iterator[Piece]:
    n_numbers, is_pivot = len(content.numbers), content.reading.pivot is not None
    fields = [f"{field} AS f{i}" for i, field in enumerate(content.fields)]
    times = [] if content.time is None else [f"{content.time} AS time"]
    payload = content.reading.payload
    if payload is not None:
        fields += [f"{content.payload} AS payload", f"{content.raw.name}.{content.place} AS place"]
    order = ", ".join(["sample", *(["time"] if times else []), f"{content.raw.name}.rowid"])
    query = (
        f"SELECT {', '.join(['sample', *times, *fields])} {window.rows(content)} "
        f"AND {window.inside(content)} ORDER BY {order}"
    )
    n_rows = cells_at_a_time(connection, content)
    reader = connection.sql(query).to_arrow_reader(n_rows)  # streams; execute() would hold all rows
    windows = WindowReader(payload, folder) if isinstance(payload, Recordings) else None
    for batch in reader:
        raw, arrays = batch.columns, dict[str, Any]()
        if payload is not None:
            *raw, cells, place = raw
            try:
                if windows is not None:
                    arrays[PART] = windows.read(_numpy(raw[0]), cells, place)
                else:
                    arrays[PART] = payload.read(cells, folder)
            except BadCell as bad:
                reader.close()  # an open one would block the connection
                raise_bad_payload(connection, content, place[bad.row].as_py(), bad)
        columns = [_numpy(column) for column in raw]
        row = columns[1 + len(times) :]
        if times:
            arrays[ABSOLUTE_TIME] = columns[1]
        if is_pivot:
            arrays |= {"code": row[0], "value": row[1]}
        else:
            arrays["values"] = _stacked(row[:n_numbers], content.dtype, len(batch))
            arrays["code"] = _stacked(row[n_numbers:], "int32", len(batch))
        yield Piece(columns[0], arrays)


def _numpy(column: pyarrow.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def _stacked(columns: list[np.ndarray], dtype: str, n_rows: int) -> np.ndarray:
    rows = np.empty((n_rows, len(columns)), dtype)
    for i, column in enumerate(columns):
        rows[:, i] = column
    return rows
