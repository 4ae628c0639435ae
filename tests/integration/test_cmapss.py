"""Engines: what the tables hold, and that the shipped configuration learns how long they have left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from duckdb import read_csv

import mmseq

ROOT = Path(__file__).parents[2]
ENGINES = ROOT.parent / "shared" / "data" / "cmapss_fd001"
LIMIT = 14.0

needs_engines = pytest.mark.skipif(not ENGINES.is_dir(), reason=f"the engines are not there: {ENGINES}")


def tables(source: Path, folder: Path) -> Path:
    script = ROOT / "examples" / "cmapss_tables.py"
    files = [str(source / f"{name}_FD001.txt") for name in ("train", "test", "RUL")]
    subprocess.run([sys.executable, str(script), *files, str(folder)], check=True)
    return folder


def test_labels_count_down_and_are_capped(tmp_path: Path) -> None:
    """Caught: off by one at failure or first cut; a label at each cycle of a test engine; a lost header."""
    row = " ".join(["0.5"] * 24)
    header = "unit_number time s1\n"
    train = "".join(f"{unit} {cycle} {row}  \n" for unit in range(1, 6) for cycle in range(1, 128))
    (tmp_path / "train_FD001.txt").write_text(header + train)
    (tmp_path / "test_FD001.txt").write_text(f"{header}1 1 {row}\n1 2 {row}\n2 1 {row}\n")
    (tmp_path / "RUL_FD001.txt").write_text("RUL  \n30  \n145  \n")
    folder = tables(tmp_path, tmp_path / "tables")
    left = read_csv(str(folder / "left.csv"))
    own = left.filter("engine = 'train_1'").order("cycle").fetchall()
    assert [own[i] for i in (0, 1, 2, -1)] == [
        ("train_1", 1, 125), ("train_1", 2, 125), ("train_1", 3, 124), ("train_1", 127, 0),
    ]  # fmt: skip
    tests = left.filter("engine LIKE 'test%'").order("engine").fetchall()
    assert tests == [("test_1", 2, 30), ("test_2", 1, 125)]
    validates = read_csv(str(folder / "engines.csv")).filter("split = 'validation'").fetchall()
    assert validates == [("train_5", "validation")]
    cuts = left.filter("engine = 'train_5'").order("cycle").fetchall()
    assert (cuts[0], cuts[-1], len(cuts)) == (("train_5", 31, 96), ("train_5", 127, 0), 97)


@needs_engines
@pytest.mark.slow
def test_the_published_counts_and_error(tmp_path: Path) -> None:
    """On engines that chose the configuration, at each cycle where a test engine could stop."""
    root = tables(ENGINES, tmp_path / "tables")
    cycles = read_csv(str(root / "cycles.csv"))
    parts = cycles.aggregate("split_part(engine, '_', 1) AS part, count(*)").order("part").fetchall()
    assert parts == [("test", 13_096), ("train", 20_631)]
    paths = (f"data.source.root={root}", f"data.store={tmp_path / 'stores'}")
    run = mmseq.train(mmseq.load_config(ROOT / "configs" / "cmapss.yaml", paths), output=tmp_path)
    report = mmseq.evaluate(run, "validation")["left"]
    assert report["labels"] == 3_375
    assert report["metrics"]["rmse"] < LIMIT < report["baseline"]["rmse"]
