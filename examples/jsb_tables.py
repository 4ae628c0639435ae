"""Writes the JSB chorales, as their JSON file has them, as tables of notes.

    python examples/jsb_tables.py jsb-chorales-quarter.json data/jsb

The file, from https://github.com/czhuang/JSB-Chorales-dataset, holds `train`, `valid` and `test`: lists of
chorales, each a list of chords, one a quarter note, each a list of MIDI pitches. Every chorale begins with a
`start`, from which its first chord is predicted, and a chord without a pitch becomes a `rest`.

    notes.csv     chorale, quarter, note; one row a note, so that a chord is all rows of its quarter
    chorales.csv  chorale, split
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path

SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def notes(chorale: str, chords: list[list[int]]) -> list[tuple[str, int, str]]:
    """One row a note; the first chord is at quarter 1."""
    rows = [(chorale, 0, "start")]
    for quarter, chord in enumerate(chords, 1):
        rows += [(chorale, quarter, str(pitch)) for pitch in sorted(chord) or ["rest"]]
    return rows


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(source: Path, folder: Path) -> None:
    """Writes both tables into a folder."""
    data = json.loads(source.read_text())
    chorales = {f"{split}_{i}": chords for split in SPLITS for i, chords in enumerate(data[split])}
    folder.mkdir(parents=True, exist_ok=True)
    rows = (row for name, chords in chorales.items() for row in notes(name, chords))
    write(folder / "notes.csv", ("chorale", "quarter", "note"), rows)
    splits = ((name, SPLITS[name.split("_")[0]]) for name in chorales)
    write(folder / "chorales.csv", ("chorale", "split"), splits)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "data/jsb"))
