"""The archive's `.ts` form as tables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from duckdb import read_csv

ROOT = Path(__file__).parents[2]


def test_channels_become_columns_and_every_fifth_of_a_class_validates(tmp_path: Path) -> None:
    head = "#About\n@problemName Two\n@dimensions 2\n@classLabel true a b\n@data\n"
    lines = ["1,2,3:4,5,6:a\n", "7:8:b\n"] * 5
    (tmp_path / "TRAIN.ts").write_text(head + "".join(lines))
    (tmp_path / "TEST.ts").write_text(head + lines[1])
    script = ROOT / "examples" / "vowels_tables.py"
    files = [str(tmp_path / name) for name in ("TRAIN.ts", "TEST.ts", "tables")]
    subprocess.run([sys.executable, str(script), *files], check=True)
    series = read_csv(str(tmp_path / "tables" / "series.csv"))
    assert series.columns == ["sample", "frame", "channel_1", "channel_2"]
    rows = series.filter("sample = 'train_0'").order("frame").fetchall()
    assert rows == [("train_0", 0, 1, 4), ("train_0", 1, 2, 5), ("train_0", 2, 3, 6)]
    samples = read_csv(str(tmp_path / "tables" / "samples.csv")).fetchall()
    validates = [row for row in samples if row[1] == "validation"]
    assert validates == [("train_8", "validation", "a"), ("train_9", "validation", "b")]
    assert samples[-1] == ("test_0", "test", "b")
