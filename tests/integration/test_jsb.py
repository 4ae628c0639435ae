"""The chorales: what the tables hold, and that the shipped configuration reaches the published error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

import mmseq
from mmseq.config.experiment import Experiment

ROOT = Path(__file__).parents[2]
CHORALES = ROOT.parent / "shared" / "data" / "jsb" / "jsb-chorales-quarter.json"
GRU_OF_CHUNG = 8.54

needs_chorales = pytest.mark.skipif(not CHORALES.is_file(), reason=f"the chorales are not there: {CHORALES}")


def config(source: Path, folder: Path, *overrides: str) -> Experiment:
    """The shipped one, on the tables of a JSON file."""
    script = ROOT / "examples" / "jsb_tables.py"
    subprocess.run([sys.executable, str(script), str(source), str(folder / "tables")], check=True)
    paths = (f"data.source.root={folder / 'tables'}", f"data.store={folder / 'stores'}")
    return mmseq.load_config(ROOT / "configs" / "jsb.yaml", [*paths, *overrides])


def small(folder: Path) -> Path:
    """Chorales of four chords, the last of which rests; the only 70 is in the test split."""
    chorales = [[[60, 64, 67], [62, 65], [60], []]] * 4
    path = folder / "chorales.json"
    path.write_text(json.dumps({"train": chorales, "valid": chorales, "test": [[*chorales[0], [60, 70]]]}))
    return path


def test_every_chord_and_rest_is_predicted(tmp_path: Path) -> None:
    """From the start, each of the five of the test's chorale; the unknown pitch is no label of its own."""
    experiment = config(small(tmp_path), tmp_path, "training.epochs=1")
    with duckdb.connect() as own:  # the module's is held up by whatever another test has not read to its end
        notes = own.read_csv(str(tmp_path / "tables" / "notes.csv"))
        rows = notes.filter("chorale = 'test_0'").order("quarter, note").fetchall()
    assert rows == [
        ("test_0", 0, "start"),
        ("test_0", 1, "60"), ("test_0", 1, "64"), ("test_0", 1, "67"),
        ("test_0", 2, "62"), ("test_0", 2, "65"), ("test_0", 3, "60"), ("test_0", 4, "rest"),
        ("test_0", 5, "60"), ("test_0", 5, "70"),
    ]  # fmt: skip
    run = mmseq.train(experiment, output=tmp_path)
    with pytest.warns(UserWarning, match="1 values that training never had"):
        report = mmseq.evaluate(run, "test")["next"]
    assert report["labels"] == 5
    assert report["metrics"]["joint_nll"] == pytest.approx(7 * report["metrics"]["nll"])


@needs_chorales
def test_counts() -> None:
    """Of the copy; and the one test pitch that training has not, whose chord has others."""
    data = json.loads(CHORALES.read_text())
    assert {split: len(chorales) for split, chorales in data.items()} == {
        "train": 229,
        "valid": 76,
        "test": 77,
    }
    chords = {split: [chord for chorale in data[split] for chord in chorale] for split in data}
    counts = {split: len(own) for split, own in chords.items()}
    assert counts == {"train": 13_807, "valid": 4_602, "test": 4_725}
    known = {pitch for chord in chords["train"] for pitch in chord}
    assert [chord for chord in chords["test"] if set(chord) - known] == [[45, 69, 76, 84]]


@pytest.mark.slow
@needs_chorales
def test_reaches_the_published_error(tmp_path: Path) -> None:
    run = mmseq.train(config(CHORALES, tmp_path), output=tmp_path)
    with pytest.warns(UserWarning, match="1 values that training never had"):
        report = mmseq.evaluate(run, "test")["next"]
    assert report["labels"] == 4_725
    assert report["metrics"]["joint_nll"] <= GRU_OF_CHUNG < report["baseline"]["joint_nll"]
