"""Writes a generated set of series with a yes-or-no label as two CSV files.

    python examples/textbook_tables.py data/textbook

2,000 series of 50 steps and 8 channels of noise. Channel 0 drifts up or down by 0.35, hidden in noise of
spread 1, and the label says which: one step tells little, the sum over all tells it in 99.3 % of the cases.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def generate(n: int = 2_000, length: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Series (sample, time, channel) float32 and labels (sample,) of 0 and 1."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, n)
    signal = random.normal(size=(n, length, 8)).astype(np.float32)
    signal[:, :, 0] += np.where(label, 0.35, -0.35)[:, None].astype(np.float32)
    return signal, label


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
