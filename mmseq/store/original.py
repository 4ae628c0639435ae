"""The rows of a modality's table as the source has them, and which event of the store each one is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from jaxtyping import Float64, Int64, Num

from mmseq.errors import DataError
from mmseq.sources import Reading, Source
from mmseq.store.ingest import Use, add_cells, lacking
from mmseq.store.layout import ABSOLUTE_TIME, index_file
from mmseq.store.piece import Piece
from mmseq.store.pivot import Pivot, first_rows
from mmseq.store.query import database
from mmseq.store.raw import Raw

if TYPE_CHECKING:
    from mmseq.store.read import Store


@dataclass(frozen=True)
class Original:
    """A table of numbers with times.

    Attributes:
        table: as the source has it; of a pivoted one, a row for each id and time with a value, by sample
            and time, ids of no sample last; id and time are those of the first row that it comes from, and
            there is a column for each feature, then for each other code that was asked for.
        event: of each row, its event, counted over the store; -1 where the store left the row out.
        values: the features, NaN where missing.
        n_bare: rows of a pivoted table that have other codes alone, which are no events.
    """

    table: pa.Table
    event: Int64[np.ndarray, "row"]
    values: Float64[np.ndarray, "row feature"]
    n_bare: int = 0


def original(
    store: Store, source: Source, name: str, reading: Reading, others: Sequence[str] = ()
) -> Original:
    """Reads a modality's table once more.

    The store has a sample's rows by time, rows of one time in the order of the source, up to some last time.

    Args:
        store: made of the source.
        source: where the table is.
        name: of the modality.
        reading: what it reads.
        others: codes of a pivoted table to give as they are, though no feature is made of them.

    Raises:
        DataError: the table is not what it was, or a code is called as its column of ids or times.
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
    own = [source.id, reading.time]
    if taken := [code for code in (*reading.numbers, *others) if code in own]:
        raise DataError(
            f"modality {name!r}: each code becomes a column beside those of id and time; {taken[0]!r} is the "
            "name of both; rename either"
        )
    return _pivoted(store, name, (reading.numbers, others), table.select(own), typed, sample)


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
        table = connection.sql(f"SELECT * FROM ({raw.table.sql})").to_arrow_table()
    return _with_moments(table, raw.table.moments), typed


def _with_moments(table: pa.Table, moments: Callable[[], pa.Table] | None) -> pa.Table:
    """The table with dates and times in the zone, and as fine, as the source has them."""
    if moments is not None:
        kept = moments()
        for name in kept.column_names:
            table = table.set_column(table.column_names.index(name), kept.schema.field(name), kept[name])
    return table


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
    codes: tuple[Sequence[str], Sequence[str]],
    table: pa.Table,
    typed: pa.Table,
    sample: Int64[np.ndarray, "row"],
) -> Original:
    """A row for each time of an id at which some code has a value; several values are averaged."""
    features, others = codes
    columns = {column: f for f, column in enumerate((*features, *others))}
    code = np.array([columns.get(word, -1) for word in typed["code"].to_pylist()], np.int64)
    value, time = typed["v0"].to_numpy(), typed["time"].to_numpy()
    stray = len(store) + typed["id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    owner = np.where(sample < 0, stray, sample)
    rows = np.flatnonzero(~np.isnan(value) & (code >= 0))
    rows = rows[np.lexsort((time[rows], owner[rows]))]
    piece = Piece(owner[rows], {"code": code[rows], "value": value[rows], ABSOLUTE_TIME: time[rows]})
    wide = Pivot(len(columns), "float64").pieces(iter([piece] if len(rows) else []))
    values = np.concatenate([np.zeros((0, len(columns))), *(part.arrays["values"] for part in wide)])
    first = rows[first_rows(piece)]
    table = table.take(pa.array(first))
    for column, own_values in zip(columns, values.T, strict=True):
        table = table.append_column(column, pa.array(own_values, from_pandas=True))
    values = values[:, : len(features)]
    is_event = ~np.isnan(values).all(1)
    event = _events(store, name, np.where(is_event, sample[first], -1), time[first])
    return Original(table, event, values, int((~is_event).sum()))
