"""Runs that are killed at random moments, and go on, end as the run that was left alone.

Everything is imported once; each sitting is a fork that trains and ends, or is killed with SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl

import mmseq
from mmseq.config.experiment import Experiment

RUNS, EACH, MOST = 100, 10, 3
SETTINGS = [
    "training.epochs=4", "training.checkpoint.steps=3", "training.log_every=1", "training.accumulation=2",
]  # fmt: skip


class Diary(pl.Callback):
    """Writes down which samples each micro-batch had, in a file that survives a kill."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        line = json.dumps([module.step, index % module.config.accumulation, batch.ids]) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def _sitting(experiment: Experiment, folder: Path) -> None:
    """Starts a run, or goes on with the one that is there, as a user would; one that has ended is left alone.

    A kill may come between the model's last rename and the end of the process: nothing is left to do then.
    """
    if any(folder.glob("*/model")):
        return
    begun = [path.parent.parent for path in folder.glob("*/checkpoints/step-*") if path.name[-1].isdigit()]
    resume = mmseq.Run(begun[0]) if begun else None
    mmseq.train(experiment, output=folder, resume=resume, callbacks=[Diary(folder / "diary")])


def _forked(work: Callable[[], None], kill_after: float | None = None) -> bool:
    """Whether the work was done before it was killed."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.waitstatus_to_exitcode(status) == 0
    return not killed


def _left(folder: Path) -> dict[str, bytes]:
    """What a run ended with, byte for byte."""
    (run,) = [path.parent for path in folder.glob("*/model")]
    last = max((run / "checkpoints").glob("step-*"))
    names = ("metrics/validation.json", "metrics.csv", "model/weights.safetensors")
    parts = ("weights.safetensors", "optimizer.safetensors", "progress.json")
    files = [*(run / name for name in names), *(last / name for name in parts)]
    log = set((run / "log.txt").read_bytes().splitlines())  # what was done twice is told twice
    left = {str(path.relative_to(run)): path.read_bytes() for path in files}
    return left | {"log.txt": b"\n".join(sorted(log))}


def _read_diary(folder: Path) -> list[Any]:
    """Each entry once; those of steps that were taken again after a kill say the same."""
    lines = (folder / "diary").read_text().splitlines()
    return [json.loads(line) for line in sorted(set(lines), key=lambda line: json.loads(line)[:2])]


@pytest.fixture(scope="module")
def whole(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Experiment, Path, float]:
    """The experiment, the run that was left alone, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("whole")
    experiment = mmseq.load_config(toy, [f"data.store={folder / 'stores'}", *SETTINGS])
    _forked(lambda: mmseq.prepare(experiment) and None)
    begin = time.monotonic()
    assert _forked(lambda: _sitting(experiment, folder))
    return experiment, folder, time.monotonic() - begin


def _sweep(whole: tuple[Experiment, Path, float], folder: Path, seed: int) -> int:
    """Kills a run once or more, lets it end, compares; the number of kills that hit it alive."""
    experiment, reference, seconds = whole
    moments, left, hits, done = random.Random(seed), seconds, 0, False
    while not done and hits < MOST:
        moment = moments.uniform(0, 0.8 * left)
        done = _forked(lambda: _sitting(experiment, folder), moment)
        hits, left = hits + (not done), left - moment
    assert done or _forked(lambda: _sitting(experiment, folder))
    assert _left(folder) == _left(reference)
    assert _read_diary(folder) == _read_diary(reference)
    return hits


@pytest.mark.parametrize(
    ("first", "n"),
    [(0, 2), *(pytest.param(first, EACH, marks=pytest.mark.slow) for first in range(RUNS // EACH))],
)
def test_killed_runs_end_as_the_run_left_alone(
    whole: tuple[Experiment, Path, float], tmp_path: Path, first: int, n: int
) -> None:
    """Weights, optimizer, progress and metrics byte for byte; every sample at its step, none else.

    Caught: steps of the epoch taken again on resume; metrics rows kept from after the checkpoint; the sum of
    an epoch's losses not kept; noise that depends on the process.
    """
    hits = 0
    for i in range(first * EACH, first * EACH + n):
        folder = tmp_path / str(i)
        folder.mkdir()
        hits += _sweep(whole, folder, i)
    assert hits >= 1.5 * n
