"""How a cell is read: one SQL expression for its value, one that says whether it is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mmseq.limits import LARGEST_NUMBER, LARGEST_RULE
from mmseq.sources.files import text

Kind = Literal["id", "number", "code", "payload", "clock", "moment", "last clock", "last moment"]

NAN = "'nan'::DOUBLE"
FLOATS = ("FLOAT", "DOUBLE")
WHOLE = "9e15"  # below it every whole number is a float
LARGEST_TIME = 2**53  # from it on, float64 takes neighbouring whole numbers for one
YEARS = "of the years 1678 to 2261"  # what int64 nanoseconds reach
RULES = {
    "number": "a number must be finite, or missing",
    "clock": "a time must be a finite number, where its column does not begin with a date and time as "
    "2024-02-28T10:00:00 is",
    "moment": f"a time must be a date and time, as the first one in its column is, {YEARS}",
    "last clock": "a last time must be a number, as the events' times are, or missing",
    "last moment": f"a last time must be a date and time, as the events' times are, {YEARS}, or missing",
}


@dataclass(frozen=True)
class Cell:
    """A column in one of its roles.

    Attributes:
        column: its name in the source.
        kind: what it is read as: a `clock` is a numeric time, a `moment` a date and time; the `last`
            ones are limits, which may be missing; a `payload` is kept as it is, and checked when it is read.
        type: its DuckDB type.
        missing: what stands for missing where it is text, and as a number where it is one.
        is_json: a list or an object may stand in it, as JSON.
    """

    column: str
    kind: Kind
    type: str
    missing: Sequence[str] = ("",)
    is_json: bool = False

    @property
    def raw(self) -> str:
        return quoted(self.column)

    def value(self) -> str:
        """SQL of the value; a query with a bad cell fails."""
        bad = f"error({text(f'bad {self.kind} {self.column}')})"
        number, moment = self._number(), self._moment()
        match self.kind:
            case "id":
                return self._unless_strange(f"coalesce({self._word()}, {bad})", bad)
            case "code":
                return self._unless_strange(self._word(), bad)
            case "payload":
                return f"CASE WHEN {self._is_absent()} THEN NULL ELSE {self.raw} END"
            case "clock":
                return f"CASE WHEN isfinite({number}) AND NOT {self._is_late()} THEN {number} ELSE {bad} END"
            case "moment":
                return f"coalesce({moment}, {bad})"
            case "last moment":
                return f"CASE WHEN {self._is_missing()} THEN NULL ELSE coalesce({moment}, {bad}) END"
        missing = f"CASE WHEN {self._is_missing()} THEN {NAN} ELSE {bad} END"
        # NaN is greater than any number, but not where DuckDB has read a Parquet file's own largest one.
        is_good = f"isfinite({number})" + (f" AND NOT {self._is_large()}" if self.kind == "number" else "")
        return f"CASE WHEN {is_good} AND NOT {self._is_marker()} THEN {number} ELSE {missing} END"

    def broken(self) -> str:
        """SQL of the rule that the cell breaks; NULL where it breaks none."""
        rules = " ".join(f"WHEN {bad} THEN {text(rule)}" for bad, rule in self._rules())
        return f"CASE {rules} END" if rules else "NULL"

    def _rules(self) -> list[tuple[str, str]]:
        """Conditions of a bad cell, and what each breaks."""
        match self.kind:
            case "id":
                lacks = (f"({self._word()}) IS NULL", "every row needs a sample id")
                return [lacks, *self._strange("a sample id")]
            case "code":
                return self._strange("a category")
            case "payload":
                return []
            case "clock":
                limit = f"a time must be below 2^53 ({LARGEST_TIME:,}): beyond it float64 merges neighbours"
                is_finite = f"coalesce(isfinite({self._number()}), false)"
                return [(f"NOT {is_finite}", RULES["clock"]), (self._is_late(), limit)]
            case "moment":
                return [(f"{self._moment()} IS NULL", RULES["moment"])]
            case "last moment":
                return [(f"{self._moment()} IS NULL AND NOT {self._is_missing()}", RULES["last moment"])]
        is_finite = f"coalesce(isfinite({self._number()}), false)"
        rules = [(f"NOT {is_finite} AND NOT {self._is_missing()}", RULES[self.kind])]
        if self.kind == "number":
            rules += [(f"{self._is_large()} AND NOT {self._is_missing()}", f"a number {LARGEST_RULE}")]
        return rules

    def _strange(self, what: str) -> list[tuple[str, str]]:
        """What no text of one value can be."""
        rules = []
        if self.type in FLOATS:
            is_nan = f"isnan({self.raw}) AND NOT {self._is_missing()}"
            rules += [(f"isinf({self.raw}) OR ({is_nan})", f"{what} that is a number must be finite")]
        if self.type in ("VARCHAR", "BLOB"):
            rules += [(f"contains({self._text()}, chr(0))", f"{what} has no NUL character")]
        if self.type == "VARCHAR" and self.is_json:  # a list or object within it comes as its text
            is_nested = (
                f"CASE WHEN left({self.raw}, 1) IN ('[', '{{') THEN json_valid({self.raw}) ELSE false END"
            )
            rules += [(is_nested, f"{what} is one value, no list and no object")]
        if self.type.endswith("]") or self.type.startswith(("STRUCT", "MAP", "UNION")):
            rules += [(f"{self.raw} IS NOT NULL", f"{what} is one value, no list and no object")]
        return rules

    def _unless_strange(self, value: str, bad: str) -> str:
        found = " ".join(f"WHEN {condition} THEN {bad}" for condition, _ in self._strange(""))
        return f"CASE {found} ELSE {value} END" if found else value

    def _is_large(self) -> str:
        return f"abs({self._number()}) > {LARGEST_NUMBER!r}"

    def _is_late(self) -> str:
        return f"abs({self._number()}) >= {LARGEST_TIME}"

    def _number(self) -> str:
        number = f"TRY_CAST({self.raw} AS DOUBLE)"
        if self.type != "VARCHAR":
            return number
        return f"CASE WHEN contains({self.raw}, '_') THEN NULL ELSE {number} END"  # else 120_80 is 12080

    def _moment(self) -> str:
        """Nanoseconds since 1970, UTC; text without an offset is UTC. NULL where there is no such time."""
        if self.type == "VARCHAR":  # a cast to TIMESTAMP would drop an offset such as +02:00 in silence
            digits = (
                f"regexp_extract({self.raw}, '\\.\\d{{6}}(\\d{{1,3}})', 1)"  # what microseconds leave out
            )
            rest = f"CASE WHEN length({self.raw}) > 26 THEN CAST(rpad({digits}, 3, '0') AS BIGINT) ELSE 0 END"
            return f"TRY(epoch_ns(TRY_CAST({self.raw} AS TIMESTAMPTZ)) + {rest})"
        return f"TRY(epoch_ns({self.raw}))"

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
        if self.type.startswith("DECIMAL"):  # of a fixed number of places
            return f"CASE WHEN contains({word}, '.') THEN rtrim(rtrim({word}, '0'), '.') ELSE {word} END"
        if self.type not in ("VARCHAR", "BOOLEAN"):
            return word
        is_whole = f"ends_with({word}, '.0') AND regexp_full_match({word}, '-?(0|[1-9]\\d*)\\.0')"
        return (  # '250.00' and '007.0' are no number's text, so they are kept as they are
            f"CASE WHEN lower({word}) = 'true' THEN 'True' WHEN lower({word}) = 'false' THEN 'False' "
            f"WHEN {is_whole} AND abs(TRY_CAST({word} AS DOUBLE)) < {WHOLE} "
            f"THEN CAST(TRY_CAST({word} AS BIGINT) AS VARCHAR) ELSE {word} END"
        )

    def _is_missing(self) -> str:
        """Whether there is no value, or one that stands for none."""
        if self.type != "VARCHAR":
            return f"({self.raw} IS NULL OR {self._is_marker()})"
        return (
            f"({self.raw} IS NULL OR {self.raw} IN ({_listed(('', *self.missing))}) OR {self._is_marker()})"
        )

    def _is_absent(self) -> str:
        """Whether there is no payload; a list or bytes cannot stand for none."""
        words = _listed(("", *self.missing))
        return f"{self.raw} IN ({words})" if self.type == "VARCHAR" else f"{self.raw} IS NULL"

    def _is_marker(self) -> str:
        """Whether a number stands for missing, such as -1 or NaN where the markers say so."""
        markers = [text(repr(float(m))) + "::DOUBLE" for m in self.missing if _is_number(m)]
        return f"coalesce({self._number()} IN ({', '.join(markers)}), false)" if markers else "false"


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _listed(words: Sequence[str]) -> str:
    return ", ".join(map(text, dict.fromkeys(words)))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word  # which Python takes between digits
