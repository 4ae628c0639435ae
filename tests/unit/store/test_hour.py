"""An hour of sound is prepared by windows: memory does not grow with its length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 44_100
WORK = """
import resource, sys
from pathlib import Path
import soundfile, soxr
from mmseq.sources import Reading, Recordings
from mmseq.sources.tables import TablesSource
from mmseq.store import Plan, prepare
payload = Recordings("file", "float32", (16_000, 1), 16_000.0, 16_000.0, 16_000, 8_000)
source = TablesSource(root=Path(sys.argv[1]), id="id", group=None, missing=[""])
plan = Plan({"sound": Reading(sys.argv[2], payload=payload)})
store = prepare(plan, source, Path(sys.argv[1]) / "stores")
print(store.entry("sound").n_rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, minutes: int) -> tuple[int, int]:
    """Windows, and the largest memory of a process that prepares a recording of so many minutes, in kB."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(folder / f"{minutes}.wav", "w", RATE, 2) as file:
        for _ in range(minutes):
            file.write(rng.normal(0, 0.1, (60 * RATE, 2)))
    (folder / f"{minutes}.csv").write_text(f"id,file\na,{minutes}.wav\n")
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(folder), f"{minutes}.csv"],
        check=True,
        capture_output=True,
        text=True,
    )
    n_windows, kilobytes = done.stdout.split()
    return int(n_windows), int(kilobytes)


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_five_minutes(tmp_path: Path) -> None:
    """As float64 it would be 2.5 GB; its windows are 460 MB, of which 64 MB are in memory at a time.

    caught: a file that is read whole.
    """
    few, before = peak(tmp_path, 5)
    many, after = peak(tmp_path, 60)
    assert (few, many) == (599, 7199)
    assert after - before < 150_000, (before, after)
