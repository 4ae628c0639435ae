"""Has a synthesiser speak the ten digits in many voices, and writes sounds and tables.

    sudo apt-get install espeak-ng
    python examples/digits_tables.py data/digits

1,560 WAV files of 0.5 to 1.6 s at 22,050 Hz: the words zero to nine, in four accents of English, each by the
voices of the training split (m1, m2, m3, m4, m6, m8, f1, f2, f3) at 120, 150 and 190 words a minute, by that
of the validation split (m5) and by those of the test split (m7, f4, f5) at 110, 135 and 170. No voice stands
in two splits, and no speed of the training split in another.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-029")
SPLITS = {
    "train": (("m1", "m2", "m3", "m4", "m6", "m8", "f1", "f2", "f3"), (120, 150, 190)),
    "validation": (("m5",), (110, 135, 170)),
    "test": (("m7", "f4", "f5"), (110, 135, 170)),
}


class Spoken(NamedTuple):
    """One file."""

    split: str
    accent: str
    voice: str
    speed: int
    word: str

    @property
    def id(self) -> str:
        return f"{self.accent}-{self.voice}-{self.speed}-{self.word}"


def all_spoken(accents: tuple[str, ...] = ACCENTS) -> Iterator[Spoken]:
    """Every file, in order."""
    for split, (voices, speeds) in SPLITS.items():
        for accent, voice, speed, word in product(accents, voices, speeds, WORDS):
            yield Spoken(split, accent, voice, speed, word)


def main(folder: Path, accents: tuple[str, ...] = ACCENTS) -> None:
    """Writes sounds/, and digits.csv (id, split, file, digit)."""
    (folder / "sounds").mkdir(parents=True, exist_ok=True)

    def speak(one: Spoken) -> list[str]:
        file = f"sounds/{one.id}.wav"
        how = ["-v", f"{one.accent}+{one.voice}", "-s", str(one.speed), "-w", str(folder / file)]
        subprocess.run(["espeak-ng", *how, one.word], check=True)
        return [one.id, one.split, file, one.word]

    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(speak, all_spoken(accents)))
    with (folder / "digits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "split", "file", "digit"], *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/digits"))
