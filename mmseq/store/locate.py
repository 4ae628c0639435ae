"""Where a bad row stands: a second scan of a source table, made only to tell about an error."""

from __future__ import annotations

from typing import NoReturn

import duckdb

from mmseq.errors import DataError
from mmseq.sources import Table
from mmseq.sources.files import text
from mmseq.store.query import first_column, first_row
from mmseq.store.raw import Raw

LONGEST = 80  # characters of a cell that a message shows


def raise_bad_cell(
    connection: duckdb.DuckDBPyConnection, raw: Raw, error: duckdb.Error, markers: str | None
) -> NoReturn:
    """Finds the first cell that breaks its rule, of the columns that are read.

    Args:
        connection: has the source's tables.
        raw: what was to be read.
        error: that came of it.
        markers: where a configuration lists what stands for missing; None: nowhere.
    """
    for cell in raw.cells.values():
        query = (
            f"SELECT * FROM (SELECT mmseq_row, {cell.raw}, {cell.broken()} AS rule "
            f"FROM ({raw.table.located})) WHERE rule IS NOT NULL LIMIT 1"
        )
        try:
            found = first_row(connection, query)
        except duckdb.Error:
            break  # the table cannot be read at all
        if found is not None:
            declare = f", or list it in {markers} where it stands for none"
            raise DataError(
                f"{raw.table.where} {found[0]}, column {cell.column!r}: {found[2]}; {_told(found[1])} came; "
                f"correct it or drop the row{declare if markers and cell.kind == 'number' else ''}"
            ) from error
    raise_unreadable(raw.table, error)


def raise_unreadable(table: Table, error: duckdb.Error) -> NoReturn:
    """Says in which row a text file breaks its format, where that can be found out."""
    told = table.broken() if table.broken is not None else None
    said = f"{table.where}: cannot be read; {first_lines(error)}; correct the file"
    raise DataError(f"{table.where} {told}" if told else said) from error


def _told(value: object) -> str:
    if value is None:
        return "nothing"
    told = repr(str(value))
    return told if len(told) <= LONGEST else f"{told[:LONGEST]}… ({len(str(value)):,} characters)"


def rows_of(
    connection: duckdb.DuckDBPyConnection, raw: Raw, id: str, limit: int = 2, condition: str = "true"
) -> str:
    """`row 3 and row 7`: where a sample's first rows that meet a condition stand; empty where none does."""
    is_id = f"{raw.cells['id'].value()} = {text(id)}"
    query = f"SELECT mmseq_row FROM ({raw.table.located}) WHERE {is_id} AND {condition} LIMIT {limit}"
    return " and ".join(first_column(connection, query))


def row_at(connection: duckdb.DuckDBPyConnection, table: Table, rowid: int) -> str:
    """`row 3`: where a row of a typed table stands in its source."""
    found = first_row(connection, f"SELECT mmseq_row FROM ({table.located}) LIMIT 1 OFFSET {rowid}")
    return "" if found is None else str(found[0])


def row_with(connection: duckdb.DuckDBPyConnection, raw: Raw, id: str, column: str, came: str | float) -> str:
    """`row 3`: where a sample's first row stands in which a column is what the store holds of it."""
    value = raw.cells[raw.find(column, "code", "number")].value()
    is_it = (
        f"{value} = {text(came)}"
        if isinstance(came, str)
        else f"CAST({value} AS FLOAT) = CAST({came!r} AS FLOAT)"  # a store may hold either precision
    )
    return rows_of(connection, raw, id, limit=1, condition=is_it)


def first_lines(error: duckdb.Error) -> str:
    """What DuckDB says, without its hints."""
    return " ".join(str(error).splitlines()[:3]).strip()
