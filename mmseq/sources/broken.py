"""Where a text file breaks its format: read once more, row by row, only to tell about an error."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

ENDINGS = {"\n": "LF", "\r\n": "CRLF", "\r": "CR"}
LONGEST = 2_000_000  # bytes of a row of CSV that DuckDB reads
PACKED = (EOFError, OSError, zlib.error)  # a compressed file that cannot be unpacked: DuckDB says so


def broken_csv(path: Path, columns: Sequence[str], delimiter: str) -> str | None:
    """`row 17, column 'x': …` of the first row that is no row of this CSV; None where all are."""
    with suppress(*PACKED):
        return _first_wrong_row(path, columns, delimiter)
    return None


def _first_wrong_row(path: Path, columns: Sequence[str], delimiter: str) -> str | None:
    first, mixed = "", None
    for row, line in enumerate(_rows(path, delimiter), start=1):
        if wrong := _wrong_row(line.rstrip("\r\n"), columns, delimiter):
            return f"row {row}, {wrong}"
        ending = ENDINGS.get(line[len(line.rstrip("\r\n")) :], "")
        first = first or ending
        if mixed is None and ending not in (first, ""):
            rule = f"all rows must end alike; {ending} came after {first}; convert the file"
            mixed = f"row {row}, after {_column(columns, len(columns))}: {rule}"
    return mixed


def _wrong_row(row: str, columns: Sequence[str], delimiter: str) -> str | None:
    """What is wrong with one row, and in which column."""
    if strange := _STRANGE.search(row):
        n_cells, _ = _cells(row[: strange.start()], delimiter)
        byte = ord(strange.group()) - 0xDC00
        return f"{_column(columns, n_cells)}: must be UTF-8 text; byte {byte:#04x} came; convert the file"
    n_cells, wrong = _cells(row, delimiter)
    if wrong:
        return f"{_column(columns, n_cells)}: {wrong}; correct it"
    n_bytes = len(row.encode())
    if n_bytes > LONGEST:
        longest = max(range(n_cells), key=lambda i: len(row.split(delimiter)[i])) + 1
        return f"{_column(columns, longest)}: a row has at most {LONGEST:,} bytes; {n_bytes:,} came; cut it"
    if n_cells == len(columns):
        return None
    came = f"a row has a cell for each of {len(columns)} columns; {n_cells} came"
    if n_cells < len(columns):
        return f"{_column(columns, n_cells + 1)}: {came}; add what is missing or drop the row"
    return f"after {_column(columns, n_cells)}: {came}; quote cells that hold {delimiter!r}, or drop the row"


def _column(columns: Sequence[str], number: int) -> str:
    return f"column {columns[min(number, len(columns)) - 1]!r}"


def _rows(path: Path, delimiter: str) -> Iterator[str]:
    """Every row that is not blank, with its line ends; a byte that is no UTF-8 as half a surrogate pair."""
    row, quotes = "", 0
    for line in _text_lines(path):
        row, quotes = row + line, quotes + line.count('"')
        may_end = row == line or quotes % 2 == 0 or len(row) > LONGEST  # else a quote is still open
        if may_end and (len(row) > LONGEST or _cells(row.rstrip("\r\n"), delimiter)[1] != _OPEN):
            if row.rstrip("\r\n"):
                yield row
            row, quotes = "", 0
    if row:
        yield row


_STRANGE = re.compile("[\ud800-\udfff]")
_QUOTE = re.compile(' *"')
_CLOSED = re.compile('(?:[^"]|"")*+" *')
_OPEN = "a quote that is opened must be closed; this one never is"
_MORE = "a cell in quotes ends with its quote; more came after it; double the quotes within"


def _cells(row: str, delimiter: str) -> tuple[int, str | None]:
    """How many cells a row has, as far as its quotes are right; and what is wrong with them."""
    place, n_cells = 0, 1
    while True:
        if quote := _QUOTE.match(row, place):
            closed = _CLOSED.match(row, quote.end())
            if closed is None:
                return n_cells, _OPEN
            place = closed.end()
            if place < len(row) and row[place] != delimiter:
                return n_cells, _MORE
        place = row.find(delimiter, place)
        if place < 0:
            return n_cells, None
        place, n_cells = place + 1, n_cells + 1


def _text_lines(path: Path) -> Iterator[str]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        yield from lines


def _lines(path: Path) -> Iterator[bytes]:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        yield from lines


def broken_json(paths: Sequence[Path], word: str) -> str | None:
    """`row 17: …` of the first line that is no object of JSON, or has a key twice; None where all are.

    Args:
        paths: of JSONL files, or of `.json` files with a record each.
        word: what a line is called.
    """
    with suppress(*PACKED):
        return _first_wrong_object(paths, word)
    return None


def _first_wrong_object(paths: Sequence[Path], word: str) -> str | None:
    spelt: dict[str, str] = {}
    for number, (name, line) in enumerate(chain.from_iterable(map(_texts, paths)), start=1):
        where = f"{word} {number}" + (f" ({name})" if len(paths) > 1 else "")
        if wrong := _wrong(line, spelt):
            return f"{where}{wrong}; correct it"
    return None


def _texts(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".json":
        yield path.name, path.read_bytes()
    else:
        yield from ((path.name, line) for line in _lines(path) if line.strip())


def _wrong(line: bytes, spelt: dict[str, str]) -> str | None:
    """What is wrong with an object; keys that differ only in case are one to a database."""
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in items:
            if key.lower() in seen:
                twice.append(key)
            seen.add(key.lower())
        return dict(items)

    try:
        read = json.loads(line.decode("utf-8-sig"), object_pairs_hook=pairs)
        json.dumps(read, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        return f": must be UTF-8 text; byte {line[error.start]:#04x} came"
    except UnicodeEncodeError:
        return ": must be UTF-8 text; half of a surrogate pair came"
    except RecursionError:
        return ": must be an object of JSON; it is nested too deep"
    except ValueError as error:
        return f": must be an object of JSON; {error}"
    if not isinstance(read, dict):
        return f": must be an object of JSON; {type(read).__name__} came"
    if twice:
        return f", column {twice[0]!r}: a key stands once in an object, whatever its case; it came twice"
    for key in read:
        if not key:
            return ", column '': a key needs a name; name or drop it"
        if spelt.setdefault(key.lower(), key) != key:
            return (
                f", column {key!r}: a key is spelt one way in all objects; {spelt[key.lower()]!r} came, too"
            )
    return None
