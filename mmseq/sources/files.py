"""Files as DuckDB queries: every cell of a text format stays text, so that a bad one can be located."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from duckdb import DuckDBPyConnection

from mmseq.errors import DataError
from mmseq.sources import Table

SMALL = 1 << 20
DELIMITERS = (",", "\t", ";", "|")


def open_file(connection: DuckDBPyConnection, path: Path) -> Table:
    """A CSV, Parquet or JSONL file as a table.

    Raises:
        DataError: its ending is not known, it has no header, or a column twice.
    """
    name = path.name.removesuffix(".gz")
    for endings, opener in READERS.items():
        if name.endswith(endings):
            return opener(connection, path)
    raise DataError(
        f"{path}: a table is a file of CSV, Parquet or JSONL; this ending is none of "
        f"{', '.join(e for endings in READERS for e in endings)}; convert or rename it"
    )


def _open_csv(connection: DuckDBPyConnection, path: Path) -> Table:
    columns, delimiter = _header(path)
    types = ", ".join(f"{text(c)}: 'VARCHAR'" for c in columns)
    sql = (
        f"SELECT * FROM read_csv({text(path)}, auto_detect=false, header=true, delim={text(delimiter)}, "
        f"quote='\"', escape='\"', nullstr='', columns={{{types}}})"
    )
    return Table(sql, str(path), columns, located(sql, first=2))


def _header(path: Path) -> tuple[tuple[str, ...], str]:
    opener: Callable[..., Iterable[str]] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as lines:  # type: ignore[attr-defined]
            line = next(iter(lines), "")
            delimiter = max(DELIMITERS, key=line.count)
            lines.seek(0)
            columns = tuple(next(csv.reader(lines, delimiter=delimiter), ()))
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: must be UTF-8 text; {error}; convert it") from error
    if not columns or "" in columns:
        raise DataError(f"{path} row 1: every column needs a name; header is {line.strip()!r}; name them")
    if twice := sorted({c for c in columns if [x.lower() for x in columns].count(c.lower()) > 1}):
        raise DataError(f"{path} row 1: a column must have a name of its own; {twice} come twice; rename one")
    return columns, delimiter


def _open_parquet(connection: DuckDBPyConnection, path: Path) -> Table:
    sql = f"SELECT * FROM read_parquet({text(path)})"
    return Table(sql, str(path), columns_of(connection, sql), located(sql, first=1))


def _open_jsonl(connection: DuckDBPyConnection, path: Path) -> Table:
    return jsonl_table(connection, text(path), str(path))


def jsonl_table(connection: DuckDBPyConnection, files: str, where: str) -> Table:
    """Objects, one a line; a key that a line lacks is missing there."""
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_ndjson_objects({files}) ORDER BY 1"
    columns = tuple(key for (key,) in connection.execute(keys).fetchall())
    if not columns:
        raise DataError(f"{where}: a table needs rows; there is none; drop it or give it rows")
    types = ", ".join(f"{text(c)}: 'VARCHAR'" for c in columns)
    sql = f"SELECT * FROM read_ndjson({files}, columns={{{types}}})"
    return Table(sql, where, columns, located(sql, first=1))


READERS: dict[tuple[str, ...], Callable[[DuckDBPyConnection, Path], Table]] = {
    (".csv", ".tsv", ".txt"): _open_csv,
    (".parquet", ".pq"): _open_parquet,
    (".jsonl", ".ndjson"): _open_jsonl,
}


def columns_of(connection: DuckDBPyConnection, sql: str) -> tuple[str, ...]:
    """The columns that a query gives."""
    return tuple(row[0] for row in connection.execute(f"DESCRIBE {sql}").fetchall())


def located(sql: str, first: int, word: str = "row") -> str:
    """The same rows with `mmseq_row`, counted from `first`."""
    return f"SELECT '{word} ' || (row_number() OVER () + {first - 1}) AS mmseq_row, * FROM ({sql})"


def text(value: object) -> str:
    """A SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def digest_files(paths: Iterable[Path]) -> str:
    """Changes with the files' names, sizes and times; of small files, with their contents instead."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        facts = hashlib.sha256(path.read_bytes()).hexdigest() if stat.st_size <= SMALL else stat.st_mtime_ns
        digest.update(f"{path.name}\0{stat.st_size}\0{facts}\n".encode())
    return digest.hexdigest()
