"""Where a bad row stands: a second scan of a source table, made only to tell about an error."""

from __future__ import annotations

from typing import NoReturn

import duckdb

from mmseq.errors import DataError
from mmseq.sources.files import text
from mmseq.store.cells import RULES
from mmseq.store.query import first_column, first_row
from mmseq.store.raw import Raw


def raise_bad_cell(connection: duckdb.DuckDBPyConnection, raw: Raw, error: duckdb.Error) -> NoReturn:
    """Finds the first cell that breaks its rule, of the columns that are read."""
    for cell in raw.cells.values():
        query = f"SELECT mmseq_row, {cell.raw} FROM ({raw.table.located}) WHERE {cell.bad()} LIMIT 1"
        try:
            found = first_row(connection, query)
        except duckdb.Error:
            break  # the table cannot be read at all
        if found is not None:
            came = "nothing" if found[1] is None else repr(str(found[1]))
            raise DataError(
                f"{raw.table.where} {found[0]}, column {cell.column!r}: {RULES[cell.kind]}; {came} came; "
                "correct it or drop the row"
            ) from error
    raise DataError(f"{raw.table.where}: cannot be read; {first_lines(error)}; correct the file") from error


def rows_of(connection: duckdb.DuckDBPyConnection, raw: Raw, id: str, limit: int = 2) -> str:
    """`row 3 and row 7`: where a sample's first rows stand."""
    is_id = f"{raw.cells['id'].value()} = {text(id)}"
    query = f"SELECT mmseq_row FROM ({raw.table.located}) WHERE {is_id} LIMIT {limit}"
    return " and ".join(first_column(connection, query))


def first_lines(error: duckdb.Error) -> str:
    """What DuckDB says, without its hints."""
    return " ".join(str(error).splitlines()[:3]).strip()
