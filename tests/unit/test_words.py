"""A word has one text, whether a store reads it or a program passes it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import duckdb
import pytest

from mmseq.store.cells import Cell
from mmseq.words import word_number, word_of

WORDS = [
    "a", "", "3", "3.0", "-0.0", "-12.0", "007.0", "250.00", "1e3", "9e15", "9000000000000001.0", "3.5",
    "true", "TRUE", "False", "falsehood", " 3.0", "nan", "é", "12345678901234567890.0",
]  # fmt: skip


def _of_store(value: Any, kind: str) -> str | None:
    missing = ("",) if kind == "VARCHAR" else ("", "nan")  # in memory NaN is missing
    sql = Cell("c", "code", kind, missing).value()
    (word,) = duckdb.execute(f'SELECT {sql} FROM (SELECT CAST(? AS {kind}) AS "c")', [value]).fetchone()  # type: ignore[misc]
    return word


@pytest.mark.parametrize("word", WORDS)
def test_text(word: str) -> None:
    assert word_of(word) == _of_store(word, "VARCHAR")


@pytest.mark.parametrize(
    ("value", "kind"),
    [(3, "BIGINT"), (-7, "INTEGER"), (True, "BOOLEAN"), (False, "BOOLEAN")]
    + [(Decimal(x), "DECIMAL(12, 3)") for x in ("3.000", "-10.500", "0.001", "120", "-0.0")]
    + [(x, "DOUBLE") for x in (3.0, -2.0, 0.5, 0.1, float("nan"), 8e15)],
)
def test_values(value: Any, kind: str) -> None:
    assert word_of(value) == _of_store(value, kind)


def test_none_is_missing() -> None:
    assert word_of(None) is None and _of_store(None, "VARCHAR") is None


def test_infinity_is_a_word_of_its_own() -> None:
    """A stream asks for it before it knows that a number is meant; a store refuses it."""
    assert [word_of(x) for x in (float("inf"), -float("inf"), Decimal("NaN"))] == ["inf", "-inf", None]


def test_numbers_tell_words_apart() -> None:
    assert len({word_number(word) for word in WORDS}) == len(WORDS)
    assert word_number("a") == word_number("a") and -(2**63) <= word_number("a") < 2**63
