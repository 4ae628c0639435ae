"""Sound from files to predictions: tones, and digits that a synthesiser speaks in voices that are new."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mmseq
from mmseq.config.experiment import Experiment

ROOT = Path(__file__).parents[2]
ASKED = 0.95


def tones(folder: Path, n: int = 60, rate: int = 22_050) -> None:
    """Half a second or more of a low tone or a high one, in noise, as the tables of the digits."""
    rng = np.random.default_rng(0)
    (folder / "sounds").mkdir(parents=True)
    rows = ["id,split,file,digit"]
    for i in range(n):
        time = np.arange(rate // 2 + int(rng.integers(rate // 2))) / rate
        tone = np.sin(2 * np.pi * (500 if i % 2 else 900) * time + rng.random()) / 4
        soundfile.write(folder / "sounds" / f"{i}.wav", tone + rng.normal(0, 0.05, len(time)), rate)
        split = "train" if i < 40 else "validation" if i < 50 else "test"
        rows.append(f"{i},{split},sounds/{i}.wav,{'low' if i % 2 else 'high'}")
    (folder / "digits.csv").write_text("\n".join(rows) + "\n")


def config(folder: Path, *overrides: str) -> Experiment:
    """The shipped one, on the tables of a folder."""
    paths = (f"data.source.root={folder / 'data'}", f"data.store={folder / 'stores'}")
    return mmseq.load_config(ROOT / "configs" / "digits.yaml", [*paths, "training.threads=1", *overrides])


def accuracy(run: mmseq.Run) -> float:
    return mmseq.evaluate(run, split="test")["digit"]["metrics"]["accuracy"]


def test_tones_are_told_apart_and_heard_live(tmp_path: Path) -> None:
    """The shipped configuration on files at another rate; live, in pieces of 0.07 s, the same numbers."""
    tones(tmp_path / "data")
    run = mmseq.train(config(tmp_path, "training.epochs=4", "training.precision=64-true"), output=tmp_path)
    assert accuracy(run) == 1
    model = run.model()
    rows = {row["id"]: row for row in model.predict(tmp_path / "data").to_pylist()}
    stream = mmseq.Stream(model)
    for i in range(50, 54):
        signal, rate = soundfile.read(tmp_path / "data" / "sounds" / f"{i}.wav")
        found, size = [], int(0.07 * rate)
        for first in range(0, len(signal), size):
            piece = {"samples": signal[first : first + size], "rate": rate}
            found += stream.rows(str(i), (first + len(piece["samples"])) / rate, {"sound": piece})
        assert len(found) == int(len(signal) / rate / 0.1)
        for name, value in rows[str(i)].items():
            same = found[-1][name] == value
            assert same or abs(found[-1][name] - value) < 1e-10, name


def synthesiser() -> str | None:
    """What is lacking to have the digits spoken."""
    if shutil.which("espeak-ng"):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "espeak-ng is not there, and cannot be installed: no apt-get, or not by this user"
    done = subprocess.run(["apt-get", "install", "-y", "-q", "espeak-ng"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"espeak-ng cannot be installed: {done.stderr[-200:]}"


@pytest.mark.slow
def test_digits_in_voices_and_at_speeds_that_are_new(tmp_path: Path) -> None:
    if lacking := synthesiser():
        pytest.skip(lacking)
    script = ROOT / "examples" / "digits_tables.py"
    subprocess.run([sys.executable, str(script), str(tmp_path / "data")], check=True)
    run = mmseq.train(config(tmp_path), output=tmp_path)
    assert accuracy(run) >= ASKED
