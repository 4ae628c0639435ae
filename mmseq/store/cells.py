"""How a cell is read: one SQL expression for its value, one that says whether it is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmseq.sources.files import text

Kind = Literal["id", "number", "code", "clock", "moment", "last clock", "last moment"]

NAN = "'nan'::DOUBLE"
FLOATS = ("FLOAT", "DOUBLE")
WHOLE = "9e15"  # below it every whole number is a float
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
        """One text for a value, whatever type it comes in; of text, missing is also what is marked so."""
        word, missing = self._canonical(), _listed(("",) if self.kind == "id" else ("", *self.missing))
        return f"CASE WHEN {word} IN ({missing}) OR {self._text()} IN ({missing}) THEN NULL ELSE {word} END"

    def _text(self) -> str:
        return f"CAST({self.raw} AS VARCHAR)"

    def _canonical(self) -> str:
        """`3` for 3, 3.0 and '3.0'; `True` for true, 'true' and 'TRUE'."""
        raw, word = self.raw, self._text()
        if self.type in FLOATS:  # whole numbers are floats only because a neighbour is missing
            is_whole = f"{raw} = trunc({raw}) AND abs({raw}) < {WHOLE}"
            return (
                f"CASE WHEN isnan({raw}) THEN NULL WHEN {is_whole} THEN "
                f"CAST(CAST({raw} AS BIGINT) AS VARCHAR) ELSE {word} END"
            )
        if self.type not in ("VARCHAR", "BOOLEAN"):
            return word
        is_whole = f"ends_with({word}, '.0') AND regexp_full_match({word}, '-?(0|[1-9]\\d*)\\.0')"
        return (  # '250.00' and '007.0' are no number's text, so they are kept as they are
            f"CASE WHEN lower({word}) = 'true' THEN 'True' WHEN lower({word}) = 'false' THEN 'False' "
            f"WHEN {is_whole} AND abs(TRY_CAST({word} AS DOUBLE)) < {WHOLE} "
            f"THEN CAST(TRY_CAST({word} AS BIGINT) AS VARCHAR) ELSE {word} END"
        )

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
