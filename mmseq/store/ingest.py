"""Source tables → typed tables: each is scanned once, and every cell that is used is checked on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import duckdb

from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import AbsentTable, Source, Table
from mmseq.store.cells import Cell, Kind, quoted
from mmseq.store.locate import first_lines, raise_bad_cell, raise_unreadable
from mmseq.store.plan import Plan
from mmseq.store.query import first_row, only_row
from mmseq.store.raw import Raw


@dataclass(frozen=True)
class Use:
    """One column that someone reads."""

    who: str
    column: str
    kind: Kind


def ingest(connection: duckdb.DuckDBPyConnection, plan: Plan, source: Source) -> dict[str, Raw]:
    """Typed copies of all tables that the plan reads, by table name.

    Raises:
        DataError: a table or column is not there, a table has no rows, or a cell breaks its rule.
    """
    raws: dict[str, Raw] = {}
    opened = {name: _open(connection, plan, source, name) for name in plan.tables()}
    for name, uses in _uses(plan, source, opened).items():
        raws[name] = raw = Raw(f"raw_{len(raws)}", opened[name])
        try:
            _read(connection, plan, source, raw, uses)
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise_unreadable(raw.table, error)
        if not raw.n_rows and not plan.known:
            raise DataError(f"{raw.table.where}: a table needs rows; it has none; drop it or give it rows")
    return raws


def _read(
    connection: duckdb.DuckDBPyConnection, plan: Plan, source: Source, raw: Raw, uses: list[Use]
) -> None:
    if plan.known and source.open_world:
        raw.table = lacking(raw.table, [use.column for use in uses])
    add_cells(connection, source, raw, uses)
    columns = ", ".join(f"{cell.value()} AS {name}" for name, cell in raw.cells.items())
    try:
        connection.execute(f"CREATE TABLE {raw.name} AS SELECT {columns} FROM ({raw.table.sql})")
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise_bad_cell(connection, raw, error, source.markers)
    (raw.n_rows,) = only_row(connection, f"SELECT count(*) FROM {raw.name}")


def add_cells(connection: duckdb.DuckDBPyConnection, source: Source, raw: Raw, uses: list[Use]) -> None:
    """How each column that is used is read. Raises DataError where the table does not have it."""
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {raw.table.sql}").fetchall()}
    for use in uses:
        _check_column(raw.table, use, types)
        raw.add(_cell(connection, raw.table, use, types[use.column], source))


def _open(connection: duckdb.DuckDBPyConnection, plan: Plan, source: Source, name: str) -> Table:
    try:
        return source.table(connection, name)
    except AbsentTable:
        if not (plan.known and source.open_world):
            raise
        nothing = "SELECT '' AS mmseq_nothing WHERE false"
        return Table(nothing, f"table {name!r}", (), f"SELECT '' AS mmseq_row, * FROM ({nothing})")
    except duckdb.Error as error:
        raise DataError(f"table {name!r}: cannot be read; {first_lines(error)}; check the file") from error


def lacking(table: Table, columns: Iterable[str]) -> Table:
    """The table with every column, missing throughout where there is none."""
    absent = tuple(dict.fromkeys(column for column in columns if column not in table.columns))
    empty = "".join(f", NULL::VARCHAR AS {quoted(column)}" for column in absent)
    return replace(
        table,
        sql=f"SELECT *{empty} FROM ({table.sql})",
        columns=table.columns + absent,
        located=f"SELECT *{empty} FROM ({table.located})",
    )


def _uses(plan: Plan, source: Source, opened: Mapping[str, Table]) -> dict[str, list[Use]]:
    """Which columns of each table are read, and as what."""
    uses: dict[str, list[Use]] = {name: [Use("data.source.id", source.id, "id")] for name in opened}
    for who, reading in plan.readings():
        mine = uses[reading.table]
        if reading.time is not None:
            mine.append(Use(who, reading.time, "clock"))
        if reading.pivot is not None:
            mine += [Use(who, reading.pivot.code, "code"), Use(who, reading.pivot.value, "number")]
        else:
            mine += [Use(who, column, "number") for column in reading.numbers]
        mine += [Use(who, column, "code") for column in reading.codes]
        if reading.payload is not None:
            mine.append(Use(who, reading.payload.column, "payload"))
    if plan.samples is not None:
        if plan.split is not None:
            uses[plan.samples].append(Use("data.split.column", plan.split, "code"))
        if plan.until_column is not None:
            uses[plan.samples].append(Use("data.until", plan.until_column, "last clock"))
    if source.group is not None:
        for name in _with_group(plan, source, opened):
            uses[name].append(Use("data.source.group", source.group, "code"))
    return uses


def _with_group(plan: Plan, source: Source, opened: Mapping[str, Table]) -> list[str]:
    having = [name for name, table in opened.items() if source.group in table.columns]
    if plan.samples in having:
        return [str(plan.samples)]
    if not having and not plan.known:
        columns = {c for table in opened.values() for c in table.columns}
        raise DataError(
            f"data.source.group: some table must have the column {source.group!r}; none of "
            f"{', '.join(opened)} has it{did_you_mean(str(source.group), columns)}"
        )
    return having


def _check_column(table: Table, use: Use, types: Iterable[str]) -> None:
    if use.column not in types:
        raise DataError(
            f"{table.where}: {use.who} reads column {use.column!r}; the table has "
            f"{', '.join(table.columns)}{did_you_mean(use.column, types)}"
        )


def _cell(connection: duckdb.DuckDBPyConnection, table: Table, use: Use, type: str, source: Source) -> Cell:
    kind = use.kind
    if kind in ("clock", "last clock") and _is_moment(connection, table, use.column, type):
        kind = "moment" if kind == "clock" else "last moment"
    return Cell(use.column, kind, type, source.missing, table.is_json)


def _is_moment(connection: duckdb.DuckDBPyConnection, table: Table, column: str, type: str) -> bool:
    """Whether a time column holds dates; of text, its first value tells."""
    if type != "VARCHAR":
        return type.startswith(("TIMESTAMP", "DATE"))
    name = quoted(column)
    first = (
        f"SELECT TRY_CAST({name} AS DOUBLE) IS NULL AND TRY_CAST({name} AS TIMESTAMPTZ) IS NOT NULL "
        f"FROM ({table.sql}) WHERE {name} <> '' LIMIT 1"
    )
    return first_row(connection, first) == (True,)
