"""Files as DuckDB queries: every cell of a text format stays text, so that a bad one can be located."""

from __future__ import annotations

import csv
import gzip
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from glob import escape
from pathlib import Path

import pyarrow
import pyarrow.parquet
from duckdb import DuckDBPyConnection, InvalidInputException

from mmseq.errors import DataError
from mmseq.sources import Table
from mmseq.sources.broken import broken_csv, broken_json
from mmseq.sources.names import check_own_names

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
        f"SELECT * FROM read_csv({one_file(path)}, auto_detect=false, header=true, delim={text(delimiter)}, "
        f"quote='\"', escape='\"', nullstr='', columns={{{types}}})"
    )
    return Table(
        sql, str(path), columns, located(sql, first=2), partial(broken_csv, path, columns, delimiter)
    )


def _header(path: Path) -> tuple[tuple[str, ...], str]:
    opener: Callable[..., Iterable[str]] = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:  # type: ignore[attr-defined]
            line = next(iter(lines), "")
            delimiter = max(DELIMITERS, key=line.count)
            lines.seek(0)
            columns = tuple(next(csv.reader(lines, delimiter=delimiter), ()))
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: cannot be unpacked; {error}; compress it again") from error
    if strange := re.search("[\0\ud800-\udfff]", line):
        byte = ord(strange.group()) & 0xFF
        raise DataError(f"{path} row 1: must be UTF-8 text; byte {byte:#04x} came; convert the file")
    if not columns or "" in columns:
        raise DataError(f"{path} row 1: every column needs a name; header is {line.strip()!r}; name them")
    if twice := sorted(set(alike(columns))):
        raise DataError(f"{path} row 1: a column must have a name of its own; {twice} come twice; rename one")
    return columns, delimiter


def _open_parquet(connection: DuckDBPyConnection, path: Path) -> Table:
    sql = f"SELECT * FROM read_parquet({one_file(path)})"
    _check_names(connection, path)
    columns, rows = columns_of(connection, sql), located(sql, first=1)
    return Table(sql, str(path), columns, rows, moments=partial(_parquet_moments, path))


def _parquet_moments(path: Path) -> pyarrow.Table:
    return pyarrow.parquet.read_table(path, columns=moments_in(pyarrow.parquet.read_schema(path)))


def moments_in(schema: pyarrow.Schema) -> list[str]:
    """Names of the columns that hold dates with times."""
    return [field.name for field in schema if pyarrow.types.is_timestamp(field.type)]


def _check_names(connection: DuckDBPyConnection, path: Path) -> None:
    """DuckDB would rename the second of two columns of one name."""
    query = f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({one_file(path)})"
    names, to_skip = [], 0
    for name, n_children in connection.execute(query).fetchall()[1:]:  # depth first, after the root
        if to_skip:
            to_skip += n_children - 1
        else:
            names.append(name)
            to_skip = n_children
    check_own_names(f"{path}: a column", names)


def _open_jsonl(connection: DuckDBPyConnection, path: Path) -> Table:
    """Objects, one a line; a key that a line lacks is missing there."""
    broken = partial(broken_json, [path], "row")
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_ndjson_objects({one_file(path)}) ORDER BY 1"
    try:
        columns = tuple(key for (key,) in connection.execute(keys).fetchall())
    except InvalidInputException as error:
        raise DataError(f"{path} {broken() or f'must be JSONL; {error}; correct it'}") from error
    if not columns:
        raise DataError(f"{path}: a table needs rows; there is none; drop it or give it rows")
    if "" in columns or alike(columns):
        raise DataError(f"{path} {broken() or 'keys must have names that differ in more than case'}")
    types = ", ".join(f"{text(c)}: 'VARCHAR'" for c in columns)
    sql = f"SELECT * FROM read_ndjson({one_file(path)}, columns={{{types}}})"
    return Table(sql, str(path), columns, located(sql, first=1), broken, is_json=True)


def alike(names: Sequence[str]) -> list[str]:
    """Names that are one to a database, which ignores case."""
    counts = Counter(name.lower() for name in names)
    return sorted(name for name in names if counts[name.lower()] > 1)


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


def one_file(path: Path) -> str:
    """The path of a file as a SQL literal, in which no sign stands for others."""
    return text(escape(str(path)))


def digest_files(paths: Iterable[Path]) -> str:
    """Changes with the files' names, sizes and times; of small files, with their contents instead."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        facts = hashlib.sha256(path.read_bytes()).hexdigest() if stat.st_size <= SMALL else stat.st_mtime_ns
        digest.update(f"{path.name}\0{stat.st_size}\0{facts}\n".encode())
    return digest.hexdigest()
