"""Writes JapaneseVowels, or any other set in the archive's `.ts` form, as plain tables.

    python examples/vowels_tables.py JapaneseVowels_TRAIN.ts JapaneseVowels_TEST.ts data/vowels

The files are of https://www.timeseriesclassification.com. After `@data`, each line is a sample: its channels,
each a list of numbers by commas, and its class, by colons. Every tenth training sample of a class validates.

    series.csv    sample, frame, channel_1, channel_2, …
    samples.csv   sample, split, label
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def samples(source: Path) -> list[tuple[list[list[str]], str]]:
    """The channels and the class of each sample."""
    _, _, data = source.read_text().partition("@data")
    lines = [line.strip().split(":") for line in data.splitlines() if line.strip()]
    return [([channel.split(",") for channel in channels], label) for *channels, label in lines]


def write(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def main(train: Path, test: Path, folder: Path) -> None:
    """Writes both tables into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    series: list[list[object]] = []
    about: list[tuple[str, str, str]] = []
    n_channels = 0
    for source, part in ((train, "train"), (test, "test")):
        seen: Counter[str] = Counter()
        for i, (channels, label) in enumerate(samples(source)):
            n_channels = len(channels)
            seen[label] += 1
            validates = part == "train" and seen[label] % 10 == 0
            about.append((f"{part}_{i}", "validation" if validates else part, label))
            series += [[f"{part}_{i}", k, *row] for k, row in enumerate(zip(*channels, strict=True))]
    names = [f"channel_{i}" for i in range(1, n_channels + 1)]
    write(folder / "series.csv", ["sample", "frame", *names], series)
    write(folder / "samples.csv", ["sample", "split", "label"], about)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
