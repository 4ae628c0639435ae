"""Codes of a long table that no column is made of: they are counted, so that none vanishes unseen."""

from __future__ import annotations

from dataclasses import replace

from duckdb import DuckDBPyConnection

from mmseq.sources.files import text
from mmseq.store.content import Content
from mmseq.store.window import Window


def unread_codes(connection: DuckDBPyConnection, content: Content, window: Window) -> dict[str, int]:
    """By code, in order, its rows with a number that would count if a column were made of it.

    Args:
        content: of any modality; what is not pivoted has none.
        window: between which times rows count.
    """
    pivot = content.reading.pivot
    if pivot is None:
        return {}
    code, value = content.raw.find(pivot.code, "code"), content.raw.find(pivot.value, "number")
    known = ", ".join(map(text, content.numbers))
    is_other = f"{code} NOT IN ({known})" if known else f"{code} IS NOT NULL"
    others = replace(content, condition=f"{is_other} AND NOT isnan({value})")
    rows = f"{window.rows(others)} AND {window.inside(others)}"
    return dict(connection.execute(f"SELECT {code}, count(*) {rows} GROUP BY 1 ORDER BY 1").fetchall())
