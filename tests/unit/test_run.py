"""The run's folder."""

from __future__ import annotations

import csv
import errno
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmseq.config.experiment import Experiment
from mmseq.errors import CheckpointError, ConfigError
from mmseq.run import Run, model_of


@pytest.fixture
def run(experiment: Experiment, tmp_path: Path) -> Run:
    return Run.create(tmp_path / "runs", experiment)


def _rows(run: Run) -> list[list[str]]:
    with (run.path / "metrics.csv").open(newline="") as stream:
        return list(csv.reader(stream))


def test_folders_are_numbered(experiment: Experiment, tmp_path: Path) -> None:
    names = [Run.create(tmp_path, experiment).path.name for _ in range(3)]
    assert names == ["small", "small-2", "small-3"]
    (tmp_path / "small-2").rename(tmp_path / "elsewhere")
    assert Run.create(tmp_path, experiment).path.name == "small-2"


def test_holds_what_was_asked_for(experiment: Experiment, tmp_path: Path) -> None:
    run = Run.create(tmp_path, experiment, source="name: small  # as it was written\n")
    assert (run.path / "config.yaml").read_text() == "name: small  # as it was written\n"
    assert run.experiment == experiment
    assert Run(run.path).experiment == experiment
    environment = json.loads((run.path / "environment.json").read_text())
    assert set(environment) == {"python", "platform", "threads", "cuda", "packages"}
    assert environment["packages"]["torch"]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs the folder of a run, with config\.resolved\.yaml"):
        Run(tmp_path)


def test_a_model_by_whatever_names_it(toy_run: Run) -> None:
    """Caught: the folder of a model, which `predict` takes on the command line, was none of a run."""
    model = toy_run.model()
    assert model_of(model) is model
    path = toy_run.path
    for named in (toy_run, path, str(path), path / "model", str(path / "model")):
        assert model_of(named).digest() == model.digest()


def test_folder_that_cannot_be_made(experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file/small: a run's folder cannot be made there: Not a directory"):
        Run.create(tmp_path / "file", experiment)


def test_commands_can_be_typed(experiment: Experiment, tmp_path: Path) -> None:
    plugin = tmp_path / "own plugin.py"
    run = Run.create(tmp_path / "my runs", experiment.model_copy(update={"plugins": [plugin]}))
    assert shlex.split(run.command("train --resume")) == [
        "mmseq", "train", "--resume", str(run.path), "--plugin", str(plugin),
    ]  # fmt: skip


def test_metrics_are_added_row_by_row(run: Run) -> None:
    run.add_metrics(5, 0, "train", {"": {"loss": 1.25, "lr": 1e-3}, "sick": {"loss": 0.1 + 0.2}})
    run.add_metrics(6, 0, "validation", {"sick": {"auroc": float("nan")}})
    assert _rows(run) == [
        ["step", "epoch", "split", "task", "metric", "value"],
        ["5", "0", "train", "", "loss", "1.25"],
        ["5", "0", "train", "", "lr", "0.001"],
        ["5", "0", "train", "sick", "loss", "0.3"],
        ["6", "0", "validation", "sick", "auroc", "nan"],
    ]


def test_metrics_later_than_a_checkpoint_are_dropped(run: Run) -> None:
    run.drop_metrics_after(0)
    assert not (run.path / "metrics.csv").exists()
    for step in (9, 10, 11):
        run.add_metrics(step, 0, "train", {"": {"loss": 1.0}})
    before = (run.path / "metrics.csv").read_bytes()
    run.drop_metrics_after(11)
    assert (run.path / "metrics.csv").read_bytes() == before
    with (run.path / "metrics.csv").open("a") as stream:
        stream.write("1")  # a row that a kill cut short
    run.drop_metrics_after(10)
    assert [row[0] for row in _rows(run)] == ["step", "9", "10"]
    assert not list(run.path.glob(".*"))


def test_reports_have_null_where_there_is_no_value(run: Run) -> None:
    report: dict[str, Any] = {"sick": {"metrics": {"auroc": float("nan"), "nll": 0.5}, "labels": 0}}
    path = run.write_report("test", report)
    assert path == run.path / "metrics" / "test.json"
    assert "NaN" not in path.read_text()
    assert run.read_report("test") == {"sick": {"metrics": {"auroc": None, "nll": 0.5}, "labels": 0}}


def test_predictions_and_log(run: Run) -> None:
    table = pa.table({"id": ["a"], "level": [1.5]})
    assert pq.read_table(run.write_predictions("test", table)).equals(table)
    run.log("one")
    run.log("two")
    assert (run.path / "log.txt").read_text() == "one\ntwo\n"


def test_a_full_disk_is_told_of_every_file(run: Run) -> None:
    """What grows is on a device that is always full; what is replaced has no room beside it, and stays.

    Caught: each of them told as a bug of ours; a report or table half written.
    """
    table = pa.table({"id": ["a"]})
    run.add_metrics(1, 0, "train", {"": {"loss": 1.0}})
    run.write_report("test", {"sick": {"labels": 1}})
    run.write_predictions("test", table)
    for name, write in {
        "metrics.csv": lambda: run.drop_metrics_after(1),
        "metrics/test.json": lambda: run.write_report("test", {}),
        "predictions/test.parquet": lambda: run.write_predictions("test", table.slice(1)),
    }.items():
        path = run.path / name
        before = path.read_bytes()
        path.with_name(f".{path.name}.partial").symlink_to("/dev/full")
        with pytest.raises(CheckpointError, match=f"{name}: needs room on the disk; it is full"):
            write()
        assert path.read_bytes() == before
    (run.path / "metrics.csv").unlink()
    for name, add in {
        "metrics.csv": lambda: run.add_metrics(1, 0, "train", {"": {"loss": 1.0}}),
        "log.txt": lambda: run.log("one"),
    }.items():
        (run.path / name).symlink_to("/dev/full")
        with pytest.raises(CheckpointError, match=f"{name}: needs room on the disk; it is full"):
            add()


AT_WORK = """
import sys
from mmseq.run import Run
with Run(sys.argv[1]).at_work():
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_one_trains_in_a_folder_at_a_time(run: Run) -> None:
    """And once that one is killed, another can.

    Caught: two that went on with one run, whose metrics.csv then had rows of both; a lock that outlives who
    held it.
    """
    command = [sys.executable, "-c", AT_WORK, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"at work\n"
        with pytest.raises(ConfigError, match="another process trains there; wait until"), run.at_work():
            pass
        other.kill()
    with run.at_work():
        assert run.experiment.name == "small"


def test_no_run_is_begun_where_there_is_no_room(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: a folder left without what it needs; a full disk told as a bug of ours."""

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="small: needs room on the disk"):
        Run.create(tmp_path, experiment)
    assert not list(tmp_path.glob("small*"))


def test_without_a_model_says_how_to_go_on(run: Run) -> None:
    with pytest.raises(
        ConfigError, match="has no model yet: training did not end; go on with `mmseq train --r"
    ):
        run.model()
