"""Whether float32 is enough for a column."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from mmseq.store.query import only_row

LARGEST_LOSS = 1e-5
LARGEST_FLOAT32 = 3.4e38
ROWS_LOOKED_AT = 200_000


def needs_float64(connection: DuckDBPyConnection, table: str, column: str, by: str = "1") -> bool:
    """Whether rounding to float32 would move the values by a part of their spread that matters.

    Compares the median rounding error with the distance between the quartiles (the whole range, where
    the quartiles are equal), on evenly spread rows, and looks for values that are too large.

    Args:
        table: a typed table, or a query in brackets.
        column: of numbers, NaN where missing.
        by: looks at each value of this column apart.
    """
    (n_rows, largest) = only_row(
        connection,
        f"SELECT count(*), max(abs({column})) FILTER (NOT isnan({column})) FROM {table}",
    )
    if largest is None:
        return False
    if largest > LARGEST_FLOAT32:
        return True
    stride = max(1, n_rows // ROWS_LOOKED_AT)
    some = (
        f"SELECT x, abs(x - x::FLOAT::DOUBLE) AS loss, part FROM (SELECT {column} AS x, {by} AS part, "
        f"row_number() OVER () AS place FROM {table}) WHERE place % {stride} = 0 AND NOT isnan(x)"
    )
    spread = "quantile_cont(x, 0.75) - quantile_cont(x, 0.25)"
    found = connection.execute(
        f"SELECT median(loss), {spread}, max(x) - min(x) FROM ({some}) GROUP BY part"
    ).fetchall()
    return any(loss > LARGEST_LOSS * (middle or whole) for loss, middle, whole in found if whole > 0)
