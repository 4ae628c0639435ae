"""The rows of a modality's table as the source has them, and which event of the store each one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64, Num

from mmseq.errors import DataError
from mmseq.sources import Reading, Source
from mmseq.store.ingest import Use, add_cells, lacking
from mmseq.store.layout import index_file
from mmseq.store.query import database
from mmseq.store.raw import Raw

if TYPE_CHECKING:
    from mmseq.store.read import Store


@dataclass(frozen=True)
class Original:
    """A table of numbers with times.

    Attributes:
        table: as the source has it; of a pivoted one, a row for each event, with the id and the time of the
            first row that it comes from, and a column for each feature.
        event: of each row, its event, counted over the store; -1 where the store left the row out.
        values: the features, NaN where missing.
    """

    table: pa.Table
    event: Int64[np.ndarray, "row"]
    values: Float64[np.ndarray, "row feature"]


def original(store: Store, source: Source, name: str, reading: Reading) -> Original:
    """Reads a modality's table once more.

    The store has a sample's rows by time, rows of one time in the order of the source, up to some last time.

    Args:
        store: made of the source.
        source: where the table is.
        name: of the modality.
        reading: what it reads.

    Raises:
        DataError: the table is not what it was.
    """
    assert reading.time is not None, "what has no time is no event"
    table, typed = _read(source, reading)
    place = {id: i for i, id in enumerate(store.ids.tolist())}
    sample = np.array([place.get(id, -1) for id in typed["id"].to_pylist()], np.int64)
    time = typed["time"].to_numpy()
    if reading.pivot is None:
        event = _events(store, name, sample, time)
        values = np.stack([typed[f"v{i}"].to_numpy() for i in range(len(reading.numbers))], 1)
        return Original(table, event, values)
    value, code = typed["v0"].to_numpy(), typed["code"].to_pylist()
    columns = set(reading.numbers)
    rows = np.flatnonzero(~np.isnan(value) & np.array([word in columns for word in code], bool))
    return _pivoted(store, name, reading, table.select([source.id, reading.time]), rows, sample, time)


def _read(source: Source, reading: Reading) -> tuple[pa.Table, pa.Table]:
    """The table as it is, and what the store made of its cells."""
    numbers = [reading.pivot.value] if reading.pivot is not None else list(reading.numbers)
    uses = [Use("", source.id, "id"), Use("", str(reading.time), "clock")]
    uses += [Use("", column, "number") for column in numbers]
    if reading.pivot is not None:
        uses.append(Use("", reading.pivot.code, "code"))
    with database() as connection:
        raw = Raw("original", source.table(connection, reading.table))
        if source.open_world:
            raw.table = lacking(raw.table, [use.column for use in uses])
        add_cells(connection, source, raw, uses)
        cells = {"id": raw.cells["id"], "time": raw.cells[raw.time(str(reading.time))]}
        cells |= {f"v{i}": raw.cells[raw.find(column, "number")] for i, column in enumerate(numbers)}
        if reading.pivot is not None:
            cells["code"] = raw.cells[raw.find(reading.pivot.code, "code")]
        columns = ", ".join(f"{cell.value()} AS {key}" for key, cell in cells.items())
        typed = connection.sql(f"SELECT {columns} FROM ({raw.table.sql})").to_arrow_table()
        return connection.sql(f"SELECT * FROM ({raw.table.sql})").to_arrow_table(), typed


def _events(
    store: Store, name: str, sample: Int64[np.ndarray, "row"], time: Num[np.ndarray, "row"]
) -> Int64[np.ndarray, "row"]:
    """The event of each row, -1 where it has none."""
    order = np.lexsort((time, sample))
    order = order[sample[order] >= 0]
    sorted_sample = sample[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_sample, sorted_sample)
    index = store.index(index_file(name))
    kept = rank < np.diff(index)[sorted_sample]
    if kept.sum() != index[-1]:
        raise DataError(f"modality {name!r}: its table has other rows than a moment ago; try again")
    event = np.full(len(sample), -1)
    event[order[kept]] = index[sorted_sample[kept]] + rank[kept]
    return event


def _pivoted(
    store: Store,
    name: str,
    reading: Reading,
    table: pa.Table,
    rows: Int64[np.ndarray, "cell"],
    sample: Int64[np.ndarray, "row"],
    time: Num[np.ndarray, "row"],
) -> Original:
    """A row for each event, in the order of the store; `rows` are those that hold a value."""
    rows = rows[sample[rows] >= 0]
    rows = rows[np.lexsort((time[rows], sample[rows]))]
    own, at = sample[rows], time[rows]
    new = np.ones(len(rows), bool)
    new[1:] = (own[1:] != own[:-1]) | (at[1:] != at[:-1])
    rows = rows[new]
    event = _events(store, name, sample[rows], time[rows])
    rows, event = rows[event >= 0], event[event >= 0]
    values = store.gather(np.arange(len(store)), [name], []).events[name].arrays["values"]
    wide = table.take(pa.array(rows))
    for column, own_values in zip(reading.numbers, values[event].T, strict=True):
        wide = wide.append_column(column, pa.array(own_values.astype(np.float64), from_pandas=True))
    return Original(wide, event, values[event].astype(np.float64))
