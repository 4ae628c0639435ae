"""Tables in one DuckDB database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow
from pydantic import Field

from mmseq.config.paths import YamlPath
from mmseq.errors import DataError
from mmseq.sources import AbsentTable, Source, SourceConfig, Table, sources
from mmseq.sources.arrow import split_records
from mmseq.sources.files import digest_files

DATABASE = "my_kind_data"


class MyKindConfig(SourceConfig):
    kind: Literal["my_kind"]
    path: YamlPath = Field(description="the database, as DuckDB writes it")
    id: str = Field("id", description="column that says which sample a row belongs to")
    group: str | None = Field(None, description="column of what must not straddle splits, such as a person")


@sources.register(MyKindConfig)
class MyKindSource(Source):
    """The tables of a database file; it is read, never written to."""

    place = "path"

    def __init__(self, *, path: Path, id: str, group: str | None) -> None:
        self.path, self.id, self.group = Path(path), id, group

    def table(self, connection: duckdb.DuckDBPyConnection, name: str) -> Table:
        columns = self._tables(connection).get(name)
        if columns is None:
            there = ", ".join(self._tables(connection)) or "none"
            raise AbsentTable(f"{self.path}: has no table {name!r}; correct the name; there are: {there}")
        sql = f"SELECT * FROM {DATABASE}.{_quoted(name)}"
        located = f"SELECT 'row ' || row_number() OVER () AS mmseq_row, * FROM ({sql})"
        return Table(sql, f"{self.path}, {name!r}", columns, located)

    def fingerprint(self, names: list[str]) -> str:
        return digest_files([self.path])

    def _tables(self, connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
        """The columns of every table, in order."""
        if not self.path.is_file():
            raise DataError(f"{self.path}: the database must be a file; there is none; correct the path")
        path = str(self.path).replace("'", "''")
        connection.execute(f"ATTACH IF NOT EXISTS '{path}' AS {DATABASE} (READ_ONLY)")
        rows = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ? "
            "ORDER BY table_name, column_index",
            [DATABASE],
        ).fetchall()
        tables: dict[str, tuple[str, ...]] = {}
        for table, column in rows:
            tables[table] = (*tables.get(table, ()), column)
        return tables

    @classmethod
    def examples(cls, folder: Path, records: Sequence[dict[str, Any]]) -> list[MyKindSource]:
        """The contract's records as such a database."""
        path = folder / "records.duckdb"
        with duckdb.connect(str(path)) as connection:
            for name, rows in split_records(records, "id").items():
                connection.from_arrow(pyarrow.Table.from_pylist(rows)).create(_quoted(name))
        return [cls(path=path, id="id", group="ward")]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
