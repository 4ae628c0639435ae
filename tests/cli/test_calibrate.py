"""`mmseq calibrate`, and `mmseq predict --calibrated`."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmseq.place import Place

Run = Callable[..., Any]


@pytest.fixture
def run(toy_run: Any, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a finished run, and its raw data."""
    shutil.copytree(toy_run.path, tmp_path / "run")
    shutil.copytree(toy.parent / "data", tmp_path / "raw")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def test_from_the_run_to_calibrated_predictions(mmseq: Run, run: Path) -> None:
    outcome = mmseq("calibrate", "run", "--coverage", 0.8, "--method", "vector", "--report", "test")
    assert (outcome.code, outcome.err) == (0, "")
    assert "test split" in outcome.out and "set size" in outcome.out and "samples" in outcome.out
    assert "a coverage of 0.8 was asked for; in it, each sample counts as one" in outcome.out
    assert "next: not calibrated: NextStepHead tells neither" in outcome.out
    assert outcome.out.endswith("written: model/calibration.json and metrics/calibration.json in run\n")
    assert (run / "model" / "calibration.json").is_file()

    outcome = mmseq("predict", "run", "-i", "raw", "-o", "out.csv", "--calibrated")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0] == "80 rows written to out.csv"
    assert outcome.out.splitlines()[1].startswith("warning: next: not calibrated: ")
    with open("out.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        assert float(row["level.low"]) < float(row["level"]) < float(row["level.high"])
        sets = [name for name in ("no", "yes") if row[f"sick.set_{name}"] == "true"]
        likely = max(("no", "yes"), key=lambda name: float(row[f"sick.p_{name}"]))
        assert likely in sets
    assert mmseq("predict", "run/model", "-i", "raw", "-o", "out.jsonl", "--calibrated").code == 0
    first = json.loads(Path("out.jsonl").read_text().splitlines()[0])
    assert first["sick.set_no"] in (True, False)


def test_predict_without_a_calibration_ends_with_2(mmseq: Run, run: Path) -> None:
    outcome = mmseq("predict", "run", "-i", "raw", "-o", "out.csv", "--calibrated")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("calibrated: the model carries no calibration; make one with `mmseq calib")
    assert not Path("out.csv").exists()


def test_what_is_missing_is_told(mmseq: Run, run: Path) -> None:
    outcome = mmseq("calibrate", "run", "--by", "group")
    assert outcome.code == 0 and "groups" in outcome.out and "parts of the validation split" in outcome.out
    assert "level: no intervals: a coverage of 0.9 needs labels of 9 groups; there are 4" in outcome.out


def test_the_train_split_ends_with_2(mmseq: Run, run: Path) -> None:
    outcome = mmseq("calibrate", "run", "--split", "train")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("calibrate: needs labels that the model has not learned")
    assert not (run / "model" / "calibration.json").exists()
    assert mmseq("calibrate", "run", "--split", "validate").code == 2


def test_several_processes_end_with_2(mmseq: Run, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmseq.place.launched", lambda: Place(0, 2, 0, 2))
    outcome = mmseq("calibrate", "run")
    assert outcome.code == 2
    assert outcome.err == "calibrate: works in one process; start it without torchrun or srun\n"
