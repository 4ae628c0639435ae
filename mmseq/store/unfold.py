"""Recordings in the cells of a table → a table of their windows, and these windows' arrays."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from duckdb import DuckDBPyConnection

from mmseq.errors import DataError
from mmseq.sources import BadCell, Reading, Recordings
from mmseq.sources.recordings import exact
from mmseq.sources.sound import Sound
from mmseq.store.clock import Clock
from mmseq.store.content import Content
from mmseq.store.payload import raise_bad_payload
from mmseq.store.query import only_row
from mmseq.store.raw import Raw

SHORT = "recordings shorter than a window"
CELLS = 64  # measured at a time
_numbers = count()


def unfold(
    connection: DuckDBPyConnection, name: str, reading: Reading, raw: Raw, clock: Clock, unit: int,
    folder: Path,
) -> Content:  # fmt: skip
    """The windows of a table's recordings, each with its time and its place, as a typed table.

    Args:
        clock: what times are.
        unit: seconds in a unit of numeric times.
        folder: that paths in cells are relative to.

    Raises:
        DataError: a recording cannot be opened; or times are dates, and nothing tells when one begins.
    """
    payload = reading.payload
    assert isinstance(payload, Recordings)
    if reading.time is None and clock == "moment":
        raise DataError(
            f"{raw.table.where}: modality {name!r} needs `time`, the column of when each recording begins, "
            "where other times are dates; it has none; name it"
        )
    windows = Raw(f"windows_{next(_numbers)}", raw.table, raw.cells)
    content = Content(name, reading, windows, (), (), "float32", (), time="time", place="recording")
    cell = raw.find(payload.column, "payload")
    places, counts = _counted(connection, replace(content, raw=raw), cell, folder)
    connection.register("counted", pyarrow.table({"recording": places, "n": counts}))
    begin = "0::DOUBLE" if reading.time is None else raw.time(reading.time)
    connection.execute(
        f"CREATE TABLE {windows.name} AS "
        f"SELECT id, {_end(payload, begin, clock, unit)} AS time, recording, k, n "
        f"FROM (SELECT {raw.name}.*, recording, n, unnest(range(n)) AS k FROM {raw.name} "
        f"JOIN counted ON {raw.name}.rowid = recording) ORDER BY recording, k"
    )
    connection.unregister("counted")
    whole = f"(SELECT whole.{cell} FROM {raw.name} AS whole WHERE whole.rowid = recording AND k = 0)"
    fields = f"{{'k': k, 'n': n, 'cell': {whole}}}"  # a window after the first has no need of it
    return replace(content, payload=fields, remarks={SHORT: int((counts == 0).sum())})


def _end(payload: Recordings, begin: str, clock: Clock, unit: int) -> str:
    """SQL of when window k ends; `LiveClock.later` is the same in Python.

    Of 15 digits: 0.7 + 0.2 is 0.8999999999999999, and one step with what else comes at 0.9.
    """
    samples = f"({payload.first} + k * {payload.hop})"
    rate = exact(payload.rate)
    if clock == "number":
        passed = f"({samples} * {rate.denominator})::DOUBLE / {rate.numerator * unit}::DOUBLE"
        return f"format('{{:.15g}}', {begin} + {passed})::DOUBLE"
    nanoseconds = f"{samples}::HUGEINT * {rate.denominator * 10**9}"
    return f"({begin} + ({nanoseconds} + {rate.numerator // 2}) // {rate.numerator})::BIGINT"


def _counted(
    connection: DuckDBPyConnection, content: Content, cell: str, folder: Path
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that hold a recording, and how many windows each has; of a file only the header is read."""
    payload, table = content.reading.payload, content.raw.name
    assert isinstance(payload, Recordings)
    query = f"SELECT typeof(any_value({cell})) FROM {table}"
    (kind,) = only_row(connection, query)
    value = f"len({cell})" if str(kind).endswith("]") else cell
    there = f"SELECT rowid, {value} FROM {table} WHERE {cell} IS NOT NULL ORDER BY rowid"
    places, counts = list[int](), list[int]()
    reader = connection.sql(there).to_arrow_reader(CELLS)
    for batch in reader:
        for place, one in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            places.append(place)
            try:
                counts.append(_windows(payload, one, folder))
            except (ValueError, OSError) as error:
                reader.close()
                raise_bad_payload(connection, content, place, BadCell(0, str(error)))
    return np.array(places, np.int64), np.array(counts, np.int64)


def _windows(payload: Recordings, cell: Any, folder: Path) -> int:
    if isinstance(cell, int):  # samples of a list
        return payload.count(cell, exact(payload.array_rate))
    with closing(payload.open(cell, folder)) as sound:
        return payload.count(sound.n, sound.rate)


class WindowReader:
    """Reads windows in the order of samples and times.

    A recording stays open from its first window to its last one, or to the end of its sample.

    Args:
        payload: how.
        folder: that paths in cells are relative to.
    """

    def __init__(self, payload: Recordings, folder: Path) -> None:
        self.payload, self.folder = payload, folder
        self._sample = -1
        self._open: dict[int, Sound] = {}

    def read(self, sample: np.ndarray, cells: pyarrow.StructArray, place: pyarrow.Array) -> np.ndarray:
        """The arrays of some windows, (row, time, channel).

        Args:
            sample: of each.
            cells: its number, how many its recording has, and with the first the recording itself.
            place: the row of its recording.

        Raises:
            BadCell: one cannot be read.
        """
        numbers = [column.to_pylist() for column in (place, cells.field("k"), cells.field("n"))]
        rows = []
        for i, (where, k, n) in enumerate(zip(*numbers, strict=True)):
            if sample[i] != self._sample:
                self.close()
                self._sample = int(sample[i])
            try:
                rows.append(self._window(where, k, cells.field("cell")[i]))
            except (ValueError, OSError) as error:
                raise BadCell(i, str(error)) from error
            if k == n - 1:
                self._open.pop(where).close()
        return np.asarray(self.payload.join(rows))

    def _window(self, place: int, k: int, cell: pyarrow.Scalar) -> np.ndarray:
        if k == 0:
            self._open[place] = self.payload.open(_plain(cell), self.folder)
        sound = self._open[place]
        return self.payload.window(sound.read, sound.rate, k)

    def close(self) -> None:
        """Lets go of all files."""
        for sound in self._open.values():
            sound.close()
        self._open.clear()


def _plain(cell: pyarrow.Scalar) -> Any:
    """A list as an array: as a list of Python's it would take ten times the memory."""
    if not isinstance(cell, pyarrow.ListScalar | pyarrow.LargeListScalar):
        return cell.as_py()
    values, shape = cell.values, [len(cell.values)]
    while pyarrow.types.is_list(values.type) or pyarrow.types.is_large_list(values.type):
        lengths = np.unique(values.value_lengths().to_numpy(zero_copy_only=False))
        if len(lengths) > 1:
            raise ValueError("a recording has as many channels in each sample; others came")
        values = values.flatten()
        shape.append(int(lengths[0]) if len(lengths) else 1)
    return values.to_numpy(zero_copy_only=False).reshape(shape)
