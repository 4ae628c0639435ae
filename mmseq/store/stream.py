"""Typed rows, sorted by sample and time, → shard files; only a part is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow
from duckdb import DuckDBPyConnection
from jaxtyping import Int64

from mmseq.store.content import Content
from mmseq.store.layout import ABSOLUTE_TIME, row_file, shard_folder
from mmseq.store.npy import NpyWriter
from mmseq.store.piece import Piece, Queue
from mmseq.store.pivot import Pivot
from mmseq.store.window import Window

ROWS = 131_072
Shards = list[tuple[int, int]]


def write_rows(
    connection: DuckDBPyConnection, content: Content, window: Window, shards: Shards, root: Path
) -> tuple[Int64[np.ndarray, "sample"], int]:
    """Writes the arrays of a modality or task, and its times for the timeline to be made of.

    Returns:
        the rows of each sample, and how many cells of a pivoted table are means of several values.
    """
    counts = np.zeros(shards[-1][1] if shards else 0, np.int64)
    pieces, pivot = _pieces(connection, content, window), Pivot(len(content.numbers), content.dtype)
    queue = Queue(pieces if content.reading.pivot is None else pivot.pieces(pieces))
    for shard, (_, stop) in enumerate(shards):
        with ExitStack() as stack:
            writers = _writers(content, window, shard_folder(root, shard), stack)
            for piece in queue.until(stop):
                counts += np.bincount(piece.sample, minlength=len(counts))
                for name, writer in writers.items():
                    writer.append(piece.time if name == ABSOLUTE_TIME else piece.arrays[name])
    return counts, pivot.n_averaged


def _writers(content: Content, window: Window, folder: Path, stack: ExitStack) -> dict[str, NpyWriter]:
    parts = {}
    if content.numbers:
        parts["values"] = (content.dtype, (len(content.numbers),))
    if content.vocabularies:
        parts["code"] = ("int32", (len(content.vocabularies),))
    if content.time is not None:
        parts[ABSOLUTE_TIME] = (content.clock, ())
    return {
        part: stack.enter_context(NpyWriter(folder / row_file(content.name, part), dtype, row))
        for part, (dtype, row) in parts.items()
    }


def _pieces(connection: DuckDBPyConnection, content: Content, window: Window) -> Iterator[Piece]:
    n_numbers, is_pivot = len(content.numbers), content.reading.pivot is not None
    fields = [f"{field} AS f{i}" for i, field in enumerate(content.fields)]
    times = [] if content.time is None else [f"{content.time} AS time"]
    order = ", ".join(["sample", *(["time"] if times else []), f"{content.raw.name}.rowid"])
    result = connection.execute(
        f"SELECT {', '.join(['sample', *times, *fields])} {window.rows(content)} AND {window.inside(content)} "
        f"ORDER BY {order}"
    )
    # DuckDB 1.4 has the second name only, 2.0 the first
    reader = getattr(result, "to_arrow_reader", None) or result.fetch_record_batch
    for batch in reader(ROWS):
        columns = [_numpy(column) for column in batch.columns]
        time = columns[1] if times else None
        payload = columns[1 + len(times) :]
        if is_pivot:
            arrays = {"code": payload[0], "value": payload[1]}
        else:
            arrays = {
                "values": _stacked(payload[:n_numbers], content.dtype, len(batch)),
                "code": _stacked(payload[n_numbers:], "int32", len(batch)),
            }
        yield Piece(columns[0], time, arrays)


def _numpy(column: pyarrow.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def _stacked(columns: list[np.ndarray], dtype: str, n_rows: int) -> np.ndarray:
    rows = np.empty((n_rows, len(columns)), dtype)
    for i, column in enumerate(columns):
        rows[:, i] = column
    return rows
