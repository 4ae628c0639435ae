"""Runs in several processes that fail, are killed or asked to stop: all end, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from apart import LIMIT, MMSEQ, finished, started

import mmseq
from mmseq.training.checkpoint import read_checkpoint

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PLUGIN = """
import os, signal, time
from pathlib import Path
from typing import Literal

from mmseq.encoders import encoders
from mmseq.encoders.linear import LinearConfig, LinearEncoder


class WatchedConfig(LinearConfig):
    kind: Literal["watched"]


@encoders.register(WatchedConfig)
class WatchedEncoder(LinearEncoder):
    def forward(self, events):
        if not self.training and len(events) and "SLOW_VALIDATION" in os.environ:
            Path(f"validates.{os.environ['RANK']}").touch()
            time.sleep(float(os.environ["SLOW_VALIDATION"]))
        if self.training:
            with open(f"steps.{os.environ.get('RANK', 0)}", "a") as file:
                print(len(events), os.getpid(), file=file, flush=True)
            time.sleep(float(os.environ.get("SLOW", 0)))
            if os.environ.get("FAIL") == os.environ.get("RANK", "0"):
                raise ValueError("this one cannot")
        return super().forward(events)
"""
ARGUMENTS = [
    "train", "-c", "toy.yaml", "--plugin", "watched.py", "--set", "modalities.vitals.encoder={kind: watched}",
    "--set", "training.devices=2", "--set", "training.epochs=8", "--set", "training.monitor=null",
]  # fmt: skip


@pytest.fixture
def work(toy: Path, tmp_path: Path) -> Path:
    """A folder with the tables, the YAML and the plugin."""
    shutil.copytree(toy.parent / "data", tmp_path / "data")
    shutil.copy(toy, tmp_path / "toy.yaml")
    (tmp_path / "watched.py").write_text(PLUGIN)
    return tmp_path


@contextmanager
def _started(work: Path, arguments: list[str], **told: str) -> Iterator[subprocess.Popen[str]]:
    """`mmseq` with these arguments; neither it nor a process of its own outlives the block."""
    try:
        with started(work, [*MMSEQ, *arguments], **told) as process:
            yield process
    finally:
        for pid in {pid for rank in (0, 1) for _, pid in _steps(work, rank)}:
            if Path(f"/proc/{pid}").exists():
                os.kill(pid, signal.SIGKILL)


def _steps(work: Path, rank: int) -> list[tuple[int, int]]:
    """What a process trained on, step by step: the events, and its id."""
    path = work / f"steps.{rank}"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines if len(line.split()) == 2]


def _wait_for_steps(work: Path, n: int) -> list[int]:
    """Waits until both have trained; their ids."""
    _wait_for("training has not begun", lambda: all(len(_steps(work, rank)) >= n for rank in (0, 1)))
    return [_steps(work, rank)[-1][1] for rank in (0, 1)]


def _wait_for(what: str, done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _must_be_gone(pids: list[int]) -> None:
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("number", "goes_on"),
    [(signal.SIGTERM, False), pytest.param(signal.SIGINT, True, marks=pytest.mark.slow)],
)
def test_asked_to_stop_all_do_at_the_same_step(work: Path, number: signal.Signals, goes_on: bool) -> None:
    """Within seconds, with a checkpoint, by one message; from there the run goes on and ends.

    Caught: a signal that one process alone minds; a step that one takes and the other does not.
    """
    with _started(work, ARGUMENTS, SLOW="0.3") as process:
        pids = _wait_for_steps(work, 4)
        process.send_signal(number)
        begin = time.monotonic()
        out, err = process.communicate(timeout=LIMIT)
        assert time.monotonic() - begin < 30
    taken = [len(_steps(work, rank)) for rank in (0, 1)]
    assert process.returncode == 128 + number, err
    assert err.startswith(f"interrupted after step {taken[0]}; a checkpoint was written: go on with `mmseq ")
    assert err.count("\n") == 1 and "run folder" not in out
    assert taken[0] == taken[1] < 48
    _must_be_gone(pids)
    last = max((work / "runs" / "toy" / "checkpoints").glob("step-*"))
    assert read_checkpoint(last).progress.step == taken[0]
    if not goes_on:
        return
    with _started(work, ["train", "--resume", "runs/toy", "--plugin", "watched.py"]) as process:
        out, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")
    assert out.count("run folder: runs/toy") == 1
    assert [len(_steps(work, rank)) for rank in (0, 1)] == [48, 48]
    assert (work / "runs" / "toy" / "model").is_dir()


@pytest.mark.slow
def test_one_that_is_asked_to_stop_amid_validation(work: Path) -> None:
    """It is not the leader, and the validation is not waited for.

    Caught: a signal amid validation that the leader minds only where it came to the leader.
    """
    settings = ["training.window=3", "data.split={train: 0.15, validation: 0.85, test: 0}"]
    changes = [word for setting in settings for word in ("--set", setting)]
    with _started(work, [*ARGUMENTS, *changes], SLOW_VALIDATION="0.5") as process:
        both = [work / f"validates.{rank}" for rank in (0, 1)]
        _wait_for("validation has not begun", lambda: all(path.exists() for path in both))
        taken = len(_steps(work, 1))
        os.kill(_steps(work, 1)[-1][1], signal.SIGTERM)
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert err.startswith(f"interrupted after step {taken - 1}; a checkpoint was written: go on with `mmseq ")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_an_error_in_one_ends_all_with_that_error_shown_once(work: Path) -> None:
    """Caught: standard error of the others lost; the error told by each; a traceback of the connection."""
    with _started(work, ARGUMENTS, FAIL="1") as process:
        _, err = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, err
    assert err.count("failed with ValueError: this one cannot; mend the plugin") == 1, err
    assert "Traceback" not in err and "gloo" not in err
    assert err.splitlines()[-1] == "process 1 of 2 ended with exit code 1, and so all did"
    _must_be_gone([pid for rank in (0, 1) for _, pid in _steps(work, rank)])


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_killed_ends_all(work: Path, rank: int) -> None:
    """The other does not wait for it, and the run goes on from its last checkpoint.

    Caught: a collective call that waits for ever; a stack of C++ functions; an end that says no way on.
    """
    settings = ["--set", "training.checkpoint.steps=1"]
    with _started(work, [*ARGUMENTS, *settings], SLOW="0.3") as process:
        pids = _wait_for_steps(work, 3)
        os.kill(pids[rank], signal.SIGKILL)
        begin = time.monotonic()
        _, err = process.communicate(timeout=LIMIT)
        assert time.monotonic() - begin < 60  # 20 of grace, and what a busy machine adds
    assert process.returncode == 1 and "Traceback" not in err, err
    assert f"process {rank} of 2 ended by SIGKILL, and so all did; go on with --resume\n" in err, err
    assert len(err.splitlines()) <= 2 and all(word not in err for word in ("frame #", ".cc", "GLHF")), err
    _must_be_gone(pids)
    with _started(work, ["train", "--resume", "runs/toy", "--plugin", "watched.py"]) as process:
        _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_a_launcher_that_is_killed_leaves_no_process_behind(work: Path) -> None:
    """Each notes it, and they stop together with a checkpoint.

    Caught: processes that train on, unseen, and end well; one that ends at once, without a checkpoint.
    """
    with _started(work, ARGUMENTS, SLOW="0.3") as process:
        pids = _wait_for_steps(work, 3)
        process.kill()
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
        _must_be_gone(pids)
    taken = [len(_steps(work, rank)) for rank in (0, 1)]
    last = max((work / "runs" / "toy" / "checkpoints").glob("step-*"))
    assert read_checkpoint(last).progress.step == taken[0] == taken[1] < 48


TWO_RUNS = """
import mmseq
for name in ("one", "two"):
    experiment = mmseq.load_config("toy.yaml", ["training.epochs=2", f"name={name}"])
    run = mmseq.train(experiment)
    print(run.path, flush=True)
"""


@pytest.mark.slow
def test_two_runs_in_one_script_that_torchrun_starts(work: Path) -> None:
    """Both are whole and alike.

    Caught: a second meeting that finds the words of the first.
    """
    (work / "script.py").write_text(TWO_RUNS)
    done = finished(work, [*TORCHRUN, "script.py"])
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == ["runs/one", "runs/one", "runs/two", "runs/two"]
    one, two = (mmseq.Run(work / "runs" / name) for name in ("one", "two"))
    weights: list[Any] = [(run.path / "model" / "weights.safetensors").read_bytes() for run in (one, two)]
    assert weights[0] == weights[1]
