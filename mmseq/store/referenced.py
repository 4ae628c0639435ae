"""Files that the cells of a table name: a store that was made of others is not found again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from mmseq.errors import DataError
from mmseq.sources import Reading, Source
from mmseq.store.cells import quoted
from mmseq.store.plan import Plan
from mmseq.store.query import database, first_column


def digest_referenced(plan: Plan, source: Source) -> str:
    """Changes with the names, sizes and times of the files that payload cells name; empty where none does."""
    readings = [reading for _, reading in plan.readings() if reading.payload and reading.payload.files]
    if not readings:
        return ""
    digest = hashlib.sha256()
    for reading in readings:
        for path in _paths(reading, source):
            stat = path.stat()
            digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _paths(reading: Reading, source: Source) -> Iterator[Path]:
    """Those that are there; what is not, and a table that cannot be read, is told by preparation."""
    assert reading.payload is not None
    column = quoted(reading.payload.column)
    with database() as connection:
        try:
            table = source.table(connection, reading.table).sql
            names = f"SELECT DISTINCT {column} FROM ({table}) WHERE typeof({column}) = 'VARCHAR' ORDER BY 1"
            found = first_column(connection, names)
        except (duckdb.Error, DataError):
            return
    yield from (path for name in found if name and (path := _path(source.folder, name)) is not None)


def _path(folder: Path, name: str) -> Path | None:
    try:
        path = folder / name
        return path if path.is_file() else None
    except (OSError, ValueError):  # no name of a file: too long, or with a NUL character
        return None
