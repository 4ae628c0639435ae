"""Writes the help on Python's own topics, which Python ships, as a table of characters.

    python examples/characters_tables.py data/characters

A sample is a paragraph, a step a character, `time` its place in the paragraph. The first character is always
the end of the line before, so that there is something to begin from.

    characters.parquet            text, time, character
    prompts/characters.parquet    the same of some beginnings, to go on from
"""

from __future__ import annotations

import sys
from pathlib import Path
from pydoc_data.topics import topics

import pyarrow as pa
import pyarrow.parquet as pq

LONGEST = 400
PROMPTS = {"nothing": "", "the": "The ", "if": "If the ", "class": "A class "}


def paragraphs() -> list[str]:
    """Running text; tables, grammar and headings are left out."""
    found = (part for topic in topics.values() for part in topic.split("\n\n"))
    prose = (" ".join(part.split()) for part in found if not part.startswith("  ") and "***" not in part)
    return [text[:LONGEST] for text in dict.fromkeys(prose) if len(text) > 40 and text.isascii()]


def table(texts: dict[str, str]) -> pa.Table:
    """One row a character."""
    rows = [(name, i, c) for name, text in texts.items() for i, c in enumerate("\n" + text)]
    return pa.table(dict(zip(("text", "time", "character"), map(list, zip(*rows, strict=True)), strict=True)))


def main(folder: Path) -> None:
    """Writes both tables into a folder."""
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    pq.write_table(
        table({str(i): text for i, text in enumerate(paragraphs())}), folder / "characters.parquet"
    )
    pq.write_table(table(PROMPTS), folder / "prompts" / "characters.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/characters"))
