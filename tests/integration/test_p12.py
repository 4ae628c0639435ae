"""P12: what the tables hold, and that the shipped configuration learns all four tasks."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from duckdb import read_csv

import mmseq
from mmseq.config.experiment import Experiment

ROOT = Path(__file__).parents[2]
P12 = ROOT.parent / "shared" / "data" / "p12"
GRU_D = {"auroc": 0.819, "auprc": 0.461}

needs_p12 = pytest.mark.skipif(not P12.is_dir(), reason=f"P12 is not there: {P12}")


def tables(source: Path, folder: Path) -> Path:
    script = ROOT / "examples" / "p12_tables.py"
    names = ("p12_long.csv.gz", "outcomes.csv", "raindrop_splits_recordids.json.gz")
    files = [str(source / name) for name in names]
    subprocess.run([sys.executable, str(script), *files, str(folder)], check=True)
    return folder


def config(root: Path, store: Path, *overrides: str) -> Experiment:
    paths = (f"data.source.root={root}", f"data.store={store}")
    return mmseq.load_config(ROOT / "configs" / "p12.yaml", [*paths, *overrides])


def small(folder: Path) -> Path:
    """Nine stays, each with its own rows; stay 1 has a later weight and lacks a height and a SAPS-I."""
    folder.mkdir()
    rows = ["set,record,minute,param,value"]
    for stay in range(1, 10):
        height = -1 if stay == 1 else 170
        rows += [f"a,{stay},0,Age,{50 + stay}", f"a,{stay},0,Gender,{stay % 2}", f"a,{stay},0,ICUType,3"]
        rows += [f"a,{stay},0,Height,{height}", f"a,{stay},0,Weight,80", f"a,{stay},5,HR,{70 + stay}"]
        rows += [f"a,{stay},65,HR,{80 + stay}", f"a,{stay},65,GCS,15", f"a,{stay},65,Weight,81"]
    with gzip.open(folder / "p12_long.csv.gz", "wt") as file:
        file.write("\n".join([*rows, "a,99,5,HR,70", ""]))
    lines = [f"a,{i},{-1 if i == 1 else 9 + i},{i},{2 * i},-1,{i % 2}" for i in range(1, 10)]
    header = "set,RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
    (folder / "outcomes.csv").write_text("\n".join([header, *lines, ""]))
    splits = {str(i): {"train": [1, 2, 3, 4, 5], "valid": [6, 7], "test": [8, 9]} for i in range(1, 6)}
    with gzip.open(folder / "raindrop_splits_recordids.json.gz", "wt") as file:
        json.dump(splits, file)
    return folder


def test_tables_of_a_few_stays_train(tmp_path: Path) -> None:
    """Caught: a stay outside the splits; a later weight as a static one; -1 as a value."""
    root = tables(small(tmp_path / "source"), tmp_path / "tables")
    series = read_csv(str(root / "series.csv"))
    assert series.filter("stay = 1").order("minute, param").fetchall() == [
        (1, 5, "HR", 71.0), (1, 65, "GCS", 15.0), (1, 65, "HR", 81.0), (1, 65, "Weight", 81.0),
    ]  # fmt: skip
    assert len(series.filter("stay = 99")) == 0
    first = read_csv(str(root / "stays.csv")).filter("stay = 1").fetchall()[0]
    assert first == (1, *["train"] * 5, 51, 1, None, 3, 80, 1, 2, None, 1)
    run = mmseq.train(config(root, tmp_path / "stores", "training.epochs=1"), output=tmp_path)
    report = mmseq.evaluate(run, "test")
    assert {task: found["labels"] for task, found in report.items()} == dict.fromkeys(report, 2)


@needs_p12
@pytest.mark.slow
def test_the_published_counts_and_what_others_reach(tmp_path: Path) -> None:
    root = tables(P12, tmp_path / "tables")
    stays = read_csv(str(root / "stays.csv"))
    splits = stays.aggregate("split1, count(*)").order("split1").fetchall()
    assert splits == [("test", 1_199), ("train", 9_590), ("validation", 1_199)]
    assert stays.aggregate("sum(death)").fetchall() == [(1_707,)]
    run = mmseq.train(config(root, tmp_path / "stores"), output=tmp_path)
    report = mmseq.evaluate(run, "validation")
    assert all(report["death"]["metrics"][name] > value for name, value in GRU_D.items())
    assert report["los"]["metrics"]["r2_log1p"] > 0.15
    assert report["saps"]["metrics"]["r2"] > 0.7
    assert report["sofa"]["metrics"]["r2"] > 0.8
