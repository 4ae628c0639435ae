"""Writes a generated set of series with a yes-or-no label as two CSV files.

    python examples/textbook_tables.py data/textbook

2,000 series of 50 steps and 8 channels of noise. Channel 1 opens and closes a gate; the label says
whether channel 0, summed while the gate was open, is positive: the sign of what a memory has to add up.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def generate(n: int = 2_000, length: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Series (sample, time, channel) float32 and labels (sample,) of 0 and 1."""
    signal = np.random.default_rng(seed).normal(size=(n, length, 8)).astype(np.float32)
    total = (signal[:, :, 0] * (signal[:, :, 1] > 0)).sum(1)
    return signal, (total > 0).astype(int)


def main(folder: Path) -> None:
    """Writes signal.csv (id, time, signal_0 …) and labels.csv (id, label)."""
    signal, label = generate()
    n, length, channels = signal.shape
    folder.mkdir(parents=True, exist_ok=True)
    rows = np.column_stack(
        [np.repeat(np.arange(n), length), np.tile(np.arange(length), n), signal.reshape(-1, channels)]
    )
    names = ["id", "time", *(f"signal_{i}" for i in range(channels))]
    formats = ["%d", "%d", *["%.6g"] * channels]
    np.savetxt(folder / "signal.csv", rows, formats, ",", header=",".join(names), comments="")
    labels = np.column_stack([np.arange(n), label])
    np.savetxt(folder / "labels.csv", labels, "%d", ",", header="id,label", comments="")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data/textbook"))
