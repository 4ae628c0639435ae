"""Small results of DuckDB queries, read to their end: an unfinished one would block the connection."""

from __future__ import annotations

from typing import Any

from duckdb import DuckDBPyConnection


def first_row(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...] | None:
    """The first row of a result that has few; None where it has none."""
    rows = connection.execute(sql).fetchall()
    return rows[0] if rows else None


def only_row(connection: DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    """The row of a query that always has one, such as a count."""
    (row,) = connection.execute(sql).fetchall()
    return row


def first_column(connection: DuckDBPyConnection, sql: str) -> list[Any]:
    """The first column of a result."""
    return [row[0] for row in connection.execute(sql).fetchall()]
