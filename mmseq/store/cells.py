"""How a cell is read: one SQL expression for its value, one that says whether it is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmseq.sources.files import text

Kind = Literal["id", "number", "code", "clock", "moment", "last clock", "last moment"]

NAN = "'nan'::DOUBLE"
FLOATS = ("FLOAT", "DOUBLE")
RULES = {
    "id": "every row needs a sample id",
    "number": "a number must be finite, or missing",
    "code": "a category is text",
    "clock": "a time must be a finite number, as the first one in its column is",
    "moment": "a time must be a date and time, as the first one in its column is",
    "last clock": "a last time must be a number, as the events' times are, or missing",
    "last moment": "a last time must be a date and time, as the events' times are, or missing",
}


@dataclass(frozen=True)
class Cell:
    """A column in one of its roles.

    Attributes:
        column: its name in the source.
        kind: what it is read as: a `clock` is a numeric time, a `moment` a date and time; the `last`
            ones are limits, which may be missing.
        type: its DuckDB type.
        missing: what stands for missing where it is text.
    """

    column: str
    kind: Kind
    type: str
    missing: Sequence[str] = ("",)

    @property
    def raw(self) -> str:
        return quoted(self.column)

    def value(self) -> str:
        """SQL of the value; a query with a bad cell fails."""
        bad = f"error({text(f'bad {self.kind} {self.column}')})"
        number, moment = self._number(), self._moment()
        match self.kind:
            case "id":
                return f"coalesce({self._word()}, {bad})"
            case "code":
                return self._word()
            case "clock":
                return f"CASE WHEN isfinite({number}) THEN {number} ELSE {bad} END"
            case "moment":
                return f"coalesce({moment}, {bad})"
            case "last moment":
                return f"CASE WHEN {self._is_missing()} THEN NULL ELSE coalesce({moment}, {bad}) END"
        read = f"coalesce({number}, CASE WHEN {self._is_missing()} THEN {NAN} ELSE {bad} END)"
        return self._without_markers(f"CASE WHEN isinf({number}) THEN {bad} ELSE {read} END")

    def bad(self) -> str:
        """SQL that is true where the cell breaks its rule."""
        number, moment = self._number(), self._moment()
        match self.kind:
            case "id":
                return f"{self._word()} IS NULL"
            case "code":
                return "false"
            case "clock":
                return f"NOT coalesce(isfinite({number}), false)"
            case "moment":
                return f"{moment} IS NULL"
            case "last moment":
                return f"{moment} IS NULL AND NOT {self._is_missing()}"
        return f"isinf({number}) OR ({number} IS NULL AND NOT {self._is_missing()})"

    def _number(self) -> str:
        return f"TRY_CAST({self.raw} AS DOUBLE)"

    def _moment(self) -> str:
        """Nanoseconds since 1970, UTC; text without an offset is UTC."""
        if self.type == "VARCHAR":  # a cast to TIMESTAMP would drop an offset such as +02:00 in silence
            return f"epoch_ns(TRY_CAST({self.raw} AS TIMESTAMPTZ))"
        return f"epoch_ns({self.raw})"

    def _word(self) -> str:
        if self.type in FLOATS:  # whole numbers are floats only because a neighbour is missing
            whole = f"{self.raw} = trunc({self.raw}) AND abs({self.raw}) < 9e15"
            return (
                f"CASE WHEN isnan({self.raw}) THEN NULL WHEN {whole} THEN "
                f"CAST(CAST({self.raw} AS BIGINT) AS VARCHAR) ELSE CAST({self.raw} AS VARCHAR) END"
            )
        word = f"CAST({self.raw} AS VARCHAR)"
        missing = ("",) if self.kind == "id" else ("", *self.missing)
        return f"CASE WHEN {word} IN ({_listed(missing)}) THEN NULL ELSE {word} END"

    def _is_missing(self) -> str:
        if self.type != "VARCHAR":
            return f"{self.raw} IS NULL"
        return f"({self.raw} IS NULL OR {self.raw} IN ({_listed(('', *self.missing))}))"

    def _without_markers(self, number: str) -> str:
        """Takes out markers that are numbers themselves, such as -1."""
        markers = [repr(float(m)) for m in self.missing if _is_finite(m)]
        if not markers:
            return number
        return f"CASE WHEN {self._number()} IN ({', '.join(markers)}) THEN {NAN} ELSE {number} END"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(text, dict.fromkeys(words)))


def _is_finite(word: str) -> bool:
    try:
        return abs(float(word)) < float("inf")
    except ValueError:
        return False
