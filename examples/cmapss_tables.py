"""Writes NASA's simulated turbofan engines (C-MAPSS) as plain tables.

    python examples/cmapss_tables.py train_FD001.txt test_FD001.txt RUL_FD001.txt data/cmapss

Each row of the first two files is an engine's cycle: unit, cycle, 3 settings, 21 sensors, separated by
spaces. Training engines run until they fail; test engines stop some cycles earlier, how many the third file
tells. A first line that is no numbers is skipped. A cycle's label is how many are left, 125 at most. Only the
last cycle of a test engine is judged, and has a label. Every fifth training engine validates; it could have
been cut after any cycle from the 31st on, the shortest test engine's last, and has a label at each of these.

    cycles.csv    engine, cycle, setting_1 … setting_3, sensor_1 … sensor_21
    engines.csv   engine, split
    left.csv      engine, cycle, left
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

MOST = 125
FIRST_CUT = 31
COLUMNS = [*(f"setting_{i}" for i in range(1, 4)), *(f"sensor_{i}" for i in range(1, 22))]


def numbers(source: Path) -> list[list[str]]:
    """The rows of a file, without its header."""
    rows = [line.split() for line in source.read_text().splitlines() if line.strip()]
    return [row for row in rows if row[0][0].isdigit()]


def engines(source: Path) -> dict[int, list[list[str]]]:
    """The cycles of each engine."""
    found: dict[int, list[list[str]]] = {}
    for row in numbers(source):
        found.setdefault(int(row[0]), []).append(row[1 : 2 + len(COLUMNS)])
    return found


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(train: Path, test: Path, left: Path, folder: Path) -> None:
    """Writes the three tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cycles: list[list[object]] = []
    splits: list[tuple[str, str]] = []
    labels: list[tuple[str, str, int]] = []
    for unit, rows in engines(train).items():
        engine, validates = f"train_{unit}", unit % 5 == 0
        splits.append((engine, "validation" if validates else "train"))
        cycles += [[engine, *row] for row in rows]
        left_of = [(engine, row[0], min(MOST, len(rows) - i)) for i, row in enumerate(rows, 1)]
        labels += left_of[FIRST_CUT - 1 :] if validates else left_of
    remaining = [int(row[0]) for row in numbers(left)]
    for (unit, rows), rest in zip(engines(test).items(), remaining, strict=True):
        engine = f"test_{unit}"
        splits.append((engine, "test"))
        cycles += [[engine, *row] for row in rows]
        labels.append((engine, rows[-1][0], min(MOST, rest)))
    write(folder / "cycles.csv", ["engine", "cycle", *COLUMNS], cycles)
    write(folder / "engines.csv", ["engine", "split"], splits)
    write(folder / "left.csv", ["engine", "cycle", "left"], labels)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
