"""Tables that a program already holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pyarrow
from duckdb import DuckDBPyConnection
from pydantic import Field

from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import AbsentTable, Source, SourceConfig, Table, sources
from mmseq.sources.arrow import arrow_table, split_records
from mmseq.sources.files import located, moments_in
from mmseq.sources.padded import padded

__all__ = ["MemoryConfig", "MemorySource", "padded"]


class MemoryConfig(SourceConfig):
    """Tables that are given at run time, by name."""

    kind: Literal["memory"]
    id: str = Field("id", description="column that says which sample a row belongs to")
    group: str | None = Field(None, description="column of what must not straddle splits, such as a person")


@sources.register(MemoryConfig)
class MemorySource(Source):
    """pandas or polars frames, Arrow tables, lists of dicts, dicts of columns; or nested records.

    Args:
        tables: by name; or a list of nested records, one a sample.
    """

    def __init__(self, tables: Mapping[str, Any] | Sequence[Any], *, id: str, group: str | None) -> None:
        if not isinstance(tables, Mapping | Sequence) or isinstance(tables, str | bytes):
            raise DataError(
                "tables in memory: must be tables by name, as a dict, or a list of records; came "
                f"{type(tables).__name__}; give {{name: table}}"
            )
        named = tables if isinstance(tables, Mapping) else split_records(tables, id)
        self.tables = {name: arrow_table(name, rows) for name, rows in named.items()}
        self.id, self.group = id, group
        self.open_world = not isinstance(tables, Mapping)
        self.samples = "samples" if "samples" in self.tables else None

    def table(self, connection: DuckDBPyConnection, name: str) -> Table:
        if name not in self.tables:
            raise AbsentTable(
                f"table {name!r}: must be among those that were given{did_you_mean(name, self.tables)}; "
                f"tables: {', '.join(self.tables)}"
            )
        if not self.tables[name].num_columns:
            raise AbsentTable(f"table {name!r}: needs columns; none came; name them, even where no row is")
        rows, view = self.tables[name], f"given_{list(self.tables).index(name)}"  # SQL ignores case
        connection.register(view, rows)
        sql = f"SELECT * FROM {view}"
        moments = partial(rows.select, moments_in(rows.schema))
        return Table(sql, f"table {name!r}", tuple(rows.column_names), located(sql, first=1), moments=moments)

    def fingerprint(self, names: list[str]) -> str:
        digest = hashlib.sha256()
        for name in sorted(set(names) & self.tables.keys()):
            digest.update(f"{name}\0".encode())
            with pyarrow.ipc.new_stream(_Digesting(digest), self.tables[name].schema) as stream:
                stream.write_table(self.tables[name], max_chunksize=65_536)
        return digest.hexdigest()


class _Digesting:
    """A file to Arrow, that keeps nothing but the digest of what is written."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
