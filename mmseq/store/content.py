"""What a modality or a task takes from each row of its typed table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from duckdb import DuckDBPyConnection

from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import Reading
from mmseq.sources.files import text
from mmseq.store.precision import needs_float64
from mmseq.store.query import first_column
from mmseq.store.raw import Raw
from mmseq.store.samples import ordered

Dtype = Literal["float32", "float64"]

__all__ = ["Content", "content_of"]

_numbers = count()  # of SQL types: names of modalities and columns may differ only in case, or not at all


@dataclass(frozen=True)
class Content:
    """The columns of one modality or task.

    Attributes:
        name: of the modality or task.
        reading: what it reads.
        raw: from which typed table.
        numbers: names of its number columns, resolved.
        vocabularies: of each code column, the strings behind its codes.
        dtype: of the numbers.
        fields: SQL of what a row holds: one value or code for each column; of a pivoted table `code`,
            `value`.
        time: the typed column that holds the time; None where rows have none.
        payload: SQL of a payload; None where there is none.
        place: the typed column that tells from which row of the source a row comes.
        condition: SQL that a row must meet.
        remarks: what was left out before there were rows to count.
    """

    name: str
    reading: Reading
    raw: Raw
    numbers: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    dtype: Dtype
    fields: tuple[str, ...]
    time: str | None = None
    payload: str | None = None
    place: str = "rowid"
    condition: str = "true"
    remarks: Mapping[str, int] = field(default_factory=dict)


def content_of(
    connection: DuckDBPyConnection, name: str, reading: Reading, raw: Raw, *, known: bool
) -> Content:
    """Resolves columns, vocabularies and precision; makes the SQL types that code words.

    Raises:
        DataError: a pivoted code never occurs, or there is none.
    """
    if reading.pivot is not None:
        return _pivoted(connection, name, reading, raw, known=known)
    numbers = [raw.find(column, "number") for column in reading.numbers]
    words = [raw.find(column, "code") for column in reading.codes]
    by = words[0] if words else "1"  # numbers beside codes are of the first one, each on its own scale
    dtype = _dtype(known or any(needs_float64(connection, raw.name, c, by) for c in numbers))
    vocabularies = tuple(_vocabulary(connection, raw.name, c) for c in words)
    codes = [
        _code(connection, column, vocabulary) for column, vocabulary in zip(words, vocabularies, strict=True)
    ]
    time = None if reading.time is None else raw.time(reading.time)
    content = Content(name, reading, raw, reading.numbers, vocabularies, dtype, (*numbers, *codes), time)
    if reading.payload is None:
        return content
    payload = raw.find(reading.payload.column, "payload")
    return replace(content, payload=payload, condition=f"{payload} IS NOT NULL")


def _pivoted(
    connection: DuckDBPyConnection, name: str, reading: Reading, raw: Raw, *, known: bool
) -> Content:
    assert reading.pivot is not None
    code, value = raw.find(reading.pivot.code, "code"), raw.find(reading.pivot.value, "number")
    found = _vocabulary(connection, raw.name, code)
    absent = [column for column in reading.numbers if column not in found]
    if absent and not known:
        raise DataError(
            f"{raw.table.where}, column {reading.pivot.code!r}: modality {name!r} reads the code "
            f"{absent[0]!r}; no row has it{did_you_mean(absent[0], found)}; codes: {', '.join(found[:20])}"
        )
    columns = reading.numbers or found
    wanted = ", ".join(map(text, columns)) or "NULL"
    is_wanted = f"{code} IN ({wanted})" if reading.numbers else f"{code} IS NOT NULL"
    condition = f"{is_wanted} AND NOT isnan({value})"
    rows = f"(SELECT * FROM {raw.name} WHERE {condition})"
    dtype = _dtype(known or needs_float64(connection, rows, value, by=code))
    index = _code(connection, code, columns)
    time = None if reading.time is None else raw.time(reading.time)
    return Content(name, reading, raw, columns, (), dtype, (index, value), time, condition=condition)


def _dtype(is_wide: bool) -> Dtype:
    return "float64" if is_wide else "float32"


def _vocabulary(connection: DuckDBPyConnection, table: str, column: str) -> tuple[str, ...]:
    words = f"(SELECT DISTINCT {column} FROM {table} WHERE {column} IS NOT NULL)"
    query = f"SELECT {column} FROM {words} ORDER BY {ordered(connection, words, column)}"
    return tuple(first_column(connection, query))


def _code(connection: DuckDBPyConnection, column: str, vocabulary: Sequence[str]) -> str:
    """SQL of a word's place in the vocabulary, -1 where it is missing."""
    if not vocabulary:
        return "-1::INTEGER"
    kind = f"words_{next(_numbers)}"
    connection.execute(f"CREATE TYPE {kind} AS ENUM ({', '.join(map(text, vocabulary))})")
    return f"coalesce(enum_code(TRY_CAST({column} AS {kind}))::INTEGER, -1)"
