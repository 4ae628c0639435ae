"""Six kinds of data on clocks of their own, two of them missing in a third of the samples, in one model."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import mmseq

ROOT = Path(__file__).parents[2]
TELLING = ("camera", "notes", "sound", "codes")
TABLES = {"camera": "frames", "notes": "notes", "sound": "sounds", "codes": "codes"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the example writes."""
    folder = tmp_path_factory.mktemp("mixed")
    script = ROOT / "examples" / "mixed_tables.py"
    subprocess.run([sys.executable, str(script), str(folder / "tables")], check=True)
    return folder


def train(folder: Path, *kept: str, epochs: int = 10) -> mmseq.Run:
    """The shipped configuration; where modalities are named, they alone, which learn the alarm alone."""
    overrides = [f"data.source.root={folder / 'tables'}", f"data.store={folder / 'stores'}"]
    overrides += [f"training.epochs={epochs}", "training.threads=1", "training.accelerator=cpu"]
    tree = mmseq.load_config(ROOT / "configs" / "mixed.yaml", overrides).model_dump(mode="json")
    if kept:
        tree["modalities"] = {name: tree["modalities"][name] for name in kept}
        tree["tasks"] = {"alarm": tree["tasks"]["alarm"]}
        tree["name"] = "-".join(kept)
    return mmseq.train(mmseq.load_config(tree), output=folder)


@pytest.fixture(scope="module")
def whole(folder: Path) -> mmseq.Run:
    """A run on all modalities."""
    run = train(folder)
    mmseq.evaluate(run, "test")
    return run


def ids_in(folder: Path, table: str) -> set[str]:
    with (folder / "tables" / f"{table}.csv").open(newline="") as file:
        return {row["id"] for row in csv.DictReader(file)}


def accuracy(run: mmseq.Run) -> float:
    return run.read_report("test")["alarm"]["metrics"]["accuracy"]


def test_two_are_missing_in_a_third_of_the_samples(folder: Path) -> None:
    everyone = ids_in(folder, "machines")
    n_missing = {
        id: sum(id not in ids_in(folder, t) for t in TABLES.values()) for id in sorted(everyone)[:90]
    }
    assert set(n_missing.values()) == {0, 2}
    assert 0.2 < sum(map(bool, n_missing.values())) / len(n_missing) < 0.45


def test_all_together_tell_the_alarm(whole: mmseq.Run) -> None:
    report = whole.read_report("test")
    assert accuracy(whole) > 0.92
    assert report["valve"]["metrics"]["accuracy"] > 0.9 < report["pump"]["metrics"]["accuracy"]
    assert report["wear"]["metrics"]["r2"] > 0.6


def test_also_where_two_are_missing(whole: mmseq.Run, folder: Path) -> None:
    """What is left tells it: the one that is there stands in for the one that is not."""
    with (folder / "tables" / "labels.csv").open(newline="") as file:
        alarm = {row["id"]: row["alarm"] for row in csv.DictReader(file)}
    complete = set.intersection(*(ids_in(folder, table) for table in TABLES.values()))
    rows = pq.read_table(whole.path / "predictions" / "test.parquet").to_pylist()
    right = [row["alarm"] == alarm[row["id"]] for row in rows if row["id"] not in complete]
    assert len(right) > 25 and sum(right) / len(right) > 0.8


@pytest.mark.parametrize("modality", TELLING)
def test_none_alone_tells_it(modality: str, whole: mmseq.Run, folder: Path) -> None:
    """120 samples: guessing is within 0.14 of a half at three standard deviations."""
    run = train(folder, modality, epochs=5)
    mmseq.evaluate(run, "test")
    assert accuracy(run) < min(0.65, accuracy(whole) - 0.25)
