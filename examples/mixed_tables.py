"""Writes generated inspections of machines: pictures, sounds, notes, codes, sensors, each on its own clock.

    python examples/mixed_tables.py data/mixed

600 machines, a minute of each. A valve is open or shut: a camera shows it (PNG), and notes say it in a word.
The pump runs fast or slowly: a microphone hears it (WAV), and codes tell it. There is an alarm if the valve
is open and the pump fast, or the valve shut and the pump slow: neither alone tells anything about it. Of a
third of the machines two are missing: the camera or the notes, and the microphone or the codes. The wear is
what the sensors say on average, of an old machine a half more. Of half of the machines an inspector wrote
down what the valve was, of half what the pump was; of 70 % somebody measured the wear.
"""

from __future__ import annotations

import csv
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RATE = 2_000  # samples a second
WORDS = ("checked", "cleaned", "again", "today", "fine", "noted", "later", "door", "belt", "oil")
TABLES = {
    "machines": ["id", "make", "age"],
    "frames": ["id", "second", "file"],
    "notes": ["id", "second", "note"],
    "sounds": ["id", "second", "file"],
    "codes": ["id", "second", "code"],
    "sensors": ["id", "second", "heat", "load"],
    "labels": ["id", "alarm", "valve", "pump", "wear"],
}


def picture(rng: np.random.Generator, is_open: bool) -> Image.Image:
    """A handle along the pipe (open) or across it, somewhere in a noisy picture."""
    pixels = rng.integers(0, 90, (20, 20))
    row, column = rng.integers(3, 11, 2)
    height, width = (3, 8) if is_open else (8, 3)
    pixels[row : row + height, column : column + width] += 130
    return Image.fromarray(pixels.astype(np.uint8))


def note(rng: np.random.Generator, is_open: bool) -> str:
    """Some words, one of which tells."""
    words = list(rng.choice(WORDS, rng.integers(2, 6)))
    words.insert(int(rng.integers(len(words) + 1)), "open" if is_open else "shut")
    return " ".join(words)


def write_sound(path: Path, rng: np.random.Generator, is_fast: bool) -> None:
    """A second of a hum in noise, of 250 Hz if fast, else of 150 Hz, give or take 20 Hz."""
    time = np.arange(RATE) / RATE
    hum = np.sin(2 * np.pi * ((250 if is_fast else 150) + rng.uniform(-20, 20)) * time)
    samples = 0.3 * hum + rng.normal(0, 0.1, RATE)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((samples.clip(-1, 1) * 32_767).astype("<i2").tobytes())


def times(rng: np.random.Generator, low: int, high: int) -> list[float]:
    """From `low` to `high` of them within the minute."""
    return np.sort(rng.choice(600, rng.integers(low, high + 1), replace=False) / 10).tolist()


def machine(folder: Path, rng: np.random.Generator, id: str) -> dict[str, list[list[Any]]]:
    """The rows of one machine; writes its files."""
    is_open, is_fast, is_old = rng.integers(0, 2, 3).astype(bool)
    absent: set[str] = set()
    if rng.random() < 1 / 3:
        absent = {str(rng.choice(["frames", "notes"])), str(rng.choice(["sounds", "codes"]))}
    rows: dict[str, list[list[Any]]] = {name: [] for name in TABLES}
    for i, second in enumerate(times(rng, 2, 4)):
        file = f"frames/{id}-{i}.png"
        if "frames" not in absent:
            picture(rng, is_open).save(folder / file)
            rows["frames"].append([id, second, file])
    rows["notes"] = [[id, second, note(rng, is_open)] for second in times(rng, 1, 3)]
    for i, second in enumerate(times(rng, 1, 2)):
        file = f"sounds/{id}-{i}.wav"
        if "sounds" not in absent:
            write_sound(folder / file, rng, is_fast)
            rows["sounds"].append([id, second, file])
    for second in times(rng, 2, 5):
        code = rng.choice(["fast" if is_fast else "slow", "start", "greased", "door"], p=[0.7, 0.1, 0.1, 0.1])
        rows["codes"].append([id, second, code])
    level = rng.normal()
    for second in times(rng, 4, 8):
        heat = "" if rng.random() < 0.3 else f"{60 + 5 * (level + rng.normal() / 3):.2f}"
        rows["sensors"].append([id, second, heat, f"{rng.normal():.3f}"])
    rows["machines"].append([id, rng.choice(["north", "south"]), "old" if is_old else "new"])
    labels = ["open" if is_open else "shut", "fast" if is_fast else "slow", f"{level * (1 + is_old / 2):.3f}"]
    known = rng.random(3) < (0.5, 0.5, 0.7)
    sparse = [label if there else "" for label, there in zip(labels, known, strict=True)]
    rows["labels"].append([id, "yes" if is_open == is_fast else "no", *sparse])
    return rows | {name: [] for name in absent}


def main(folder: Path, n: int = 600, seed: int = 0) -> None:
    """Writes the tables, frames/ and sounds/."""
    rng = np.random.default_rng(seed)
    for name in ("frames", "sounds"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    machines = [machine(folder, rng, f"m{i}") for i in range(n)]
    for name, header in TABLES.items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(row for rows in machines for row in rows[name])])


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/mixed"))
