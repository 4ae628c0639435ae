"""`mmseq evaluate`."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmseq.cli.main import main

Run = Callable[..., Any]


@pytest.fixture
def run(toy_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a finished run, in the working directory."""
    shutil.copytree(toy_run.path, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return Path("run")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_shows_and_keeps_every_task_beside_its_baseline(mmseq: Run, run: Path, split: str) -> None:
    outcome = mmseq("evaluate", run, "--split", split)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"{split} split")
    assert outcome.out.splitlines()[-1] == (
        f"written: metrics/{split}.json and predictions/{split}.parquet in run"
    )
    report = json.loads((run / "metrics" / f"{split}.json").read_text())
    assert list(report) == ["sick", "level", "flags", "stage", "next"]
    for task, result in report.items():
        assert task in outcome.out
        assert set(result) == {"metrics", "baseline", "labels", "loss"}
        assert result["labels"] > 0
    assert pq.read_table(run / "predictions" / f"{split}.parquet").num_rows == report["level"]["labels"]


def test_validation_is_the_default_and_agrees_with_training(mmseq: Run, run: Path) -> None:
    before = (run / "metrics" / "validation.json").read_bytes()
    assert mmseq("evaluate", run).code == 0
    assert (run / "metrics" / "validation.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nothing"],
            "nothing: needs the folder of a run, with config.resolved.yaml; `mmseq train` makes one",
        ),
        (["."], ".: needs the folder of a run"),
        (["run/model"], "run/model: needs the folder of a run"),
        (["run", "--split", "tests"], "'tests' is not one of 'train', 'validation', 'test'"),
    ],
)
def test_what_is_no_run_or_split_ends_with_2(
    mmseq: Run, run: Path, arguments: list[str], message: str
) -> None:
    outcome = mmseq("evaluate", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_run_without_a_model_says_how_to_go_on(mmseq: Run, run: Path) -> None:
    shutil.rmtree(run / "model")
    outcome = mmseq("evaluate", run)
    assert (outcome.code, outcome.out) == (2, "")
    assert "has no model yet: training did not end; go on with `mmseq train --resume run`" in outcome.err


def test_empty_split_ends_with_2(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "split: .*", "split: {train: 0.8, validation: 0.2, test: 0}")
    assert mmseq("train", "-c", "toy.yaml", "--set", "training.epochs=1").code == 0
    outcome = mmseq("evaluate", "runs/toy", "--split", "test")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "runs/toy: the test split has no sample; see data.split\n"
    assert not (work.path / "runs" / "toy" / "metrics" / "test.json").exists()


def test_altered_model_ends_with_1_and_the_file(mmseq: Run, run: Path) -> None:
    (run / "metrics" / "test.json").unlink(missing_ok=True)  # of whoever evaluated the same run before
    path = run / "model" / "facts.json"
    path.write_text(path.read_text().replace("1", "2", 1))
    outcome = mmseq("evaluate", run, "--split", "test")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("run/model/facts.json: its sha256 is not the manifest's")
    assert not (run / "metrics" / "test.json").exists()


def test_labels_that_are_others_since_training_are_told_where_they_stand(mmseq: Run, work: Any) -> None:
    """Caught: the class was told without the file and the row."""
    assert mmseq("train", "-c", "toy.yaml", "--set", "training.epochs=1").code == 0
    path = work.path / "data" / "labels.csv"
    path.write_text(path.read_text().replace("yes", "perhaps"))
    outcome = mmseq("evaluate", "runs/toy", "--split", "test")
    assert (outcome.code, outcome.out) == (2, "")
    assert re.match(
        rf"{path} row \d+, sample 'p\d+': task 'sick', column sick: 'perhaps' has a label here but none in "
        "the training split, which has 'no', 'yes'; ",
        outcome.err,
    )


def test_times_that_are_of_another_kind_since_training(mmseq: Run, work: Any) -> None:
    """Caught: a model that had learned from numbers was evaluated on dates."""
    assert mmseq("train", "-c", "toy.yaml", "--set", "training.epochs=1").code == 0
    for name in ("vitals", "codes", "stages"):
        path = work.path / "data" / f"{name}.csv"
        path.write_text(re.sub(r"(?m)^(p\d+),(\d)\d?,", r"\1,2024-01-1\2,", path.read_text()))
    outcome = mmseq("evaluate", "runs/toy")
    assert (outcome.code, outcome.out, outcome.err) == (
        2,
        "",
        "modality 'vitals', table vitals.csv, column 'minute': times must be numbers, as in training; dates "
        "and times came; convert them\n",
    )


def test_model_whose_data_are_gone_ends_with_2(mmseq: Run, work: Any) -> None:
    assert mmseq("train", "-c", "toy.yaml", "--set", "training.epochs=1").code == 0
    shutil.move(work.path / "data", work.path / "elsewhere")
    outcome = mmseq("evaluate", "runs/toy", "--split", "test")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"{work.path}/data/samples.csv: a table must be a file below `root`")


def test_early_shows_metrics_by_the_share_seen(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--split", "test", "--early"]) == 0
    out = capsys.readouterr().out
    assert "10%" in out and "100%" in out and "sick" in out and "stage" not in out
    report = json.loads((run / "metrics" / "test-early.json").read_text())
    assert list(report)[-1] == "1" and report["1"]["sick"]["metrics"].keys() >= {"accuracy", "auroc"}
