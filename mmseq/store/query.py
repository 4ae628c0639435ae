"""A DuckDB database, and small results read to their end: an unfinished one would block the connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection


@contextmanager
def database() -> Iterator[DuckDBPyConnection]:
    """An empty database in memory, which reads and writes dates in UTC."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        yield connection


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
