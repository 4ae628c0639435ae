"""The archive's `.ts` form as tables, and that the shipped configuration tells the speakers apart."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from duckdb import read_csv

import mmseq

ROOT = Path(__file__).parents[2]
AEON = importlib.util.find_spec("aeon")  # which ships the set

needs_vowels = pytest.mark.skipif(AEON is None, reason="JapaneseVowels come with `pip install aeon`")


def tables(train: Path, test: Path, folder: Path) -> Path:
    script = ROOT / "examples" / "vowels_tables.py"
    subprocess.run([sys.executable, str(script), str(train), str(test), str(folder)], check=True)
    return folder


def test_channels_become_columns_and_every_tenth_of_a_class_validates(tmp_path: Path) -> None:
    head = "#About\n@problemName Two\n@dimensions 2\n@classLabel true a b\n@data\n"
    lines = ["1,2,3:4,5,6:a\n", "7:8:b\n"] * 10
    (tmp_path / "TRAIN.ts").write_text(head + "".join(lines))
    (tmp_path / "TEST.ts").write_text(head + lines[1])
    tables(tmp_path / "TRAIN.ts", tmp_path / "TEST.ts", tmp_path / "tables")
    series = read_csv(str(tmp_path / "tables" / "series.csv"))
    assert series.columns == ["sample", "frame", "channel_1", "channel_2"]
    rows = series.filter("sample = 'train_0'").order("frame").fetchall()
    assert rows == [("train_0", 0, 1, 4), ("train_0", 1, 2, 5), ("train_0", 2, 3, 6)]
    samples = read_csv(str(tmp_path / "tables" / "samples.csv")).fetchall()
    validates = [row for row in samples if row[1] == "validation"]
    assert validates == [("train_18", "validation", "a"), ("train_19", "validation", "b")]
    assert samples[-1] == ("test_0", "test", "b")


@needs_vowels
@pytest.mark.slow
def test_the_speakers_of_japanese_vowels(tmp_path: Path) -> None:
    """The published counts; the epoch is chosen on the samples that are judged here."""
    assert AEON is not None and AEON.submodule_search_locations is not None
    folder = Path(AEON.submodule_search_locations[0]) / "datasets" / "data" / "JapaneseVowels"
    files = [folder / f"JapaneseVowels_{part}.ts" for part in ("TRAIN", "TEST")]
    root = tables(*files, tmp_path / "tables")
    splits = read_csv(str(root / "samples.csv")).aggregate("split, count(*)").order("split").fetchall()
    assert splits == [("test", 370), ("train", 243), ("validation", 27)]
    paths = (f"data.source.root={root}", f"data.store={tmp_path / 'stores'}")
    run = mmseq.train(mmseq.load_config(ROOT / "configs" / "vowels.yaml", paths), output=tmp_path)
    assert mmseq.evaluate(run, "validation")["speaker"]["metrics"]["accuracy"] > 0.92
