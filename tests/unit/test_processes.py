"""What processes tell one another, in two real ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import torch

from mmseq.cli.main import Terminated
from mmseq.place import Place
from mmseq.processes import ALONE, Processes, _rendezvous, together

TOLD = """
import json, time
from pathlib import Path
import torch
from mmseq.processes import together

said = []
for turn in range(2):  # one meeting after another
    with together() as us, together() as same:
        assert same is us
        note = Path(f"note.{turn}")
        if us.leads:
            time.sleep(0.3)
        found = us.first(lambda: note.exists() or note.touch() or us.rank)
        said.append([
            us.rank, us.size, us.leads, found, us.tell(us.rank), us.gather(us.rank + 10),
            us.total([1.0, us.rank + 0.5]).tolist(),
            us.total(torch.tensor([2**30], dtype=torch.int32)).tolist(),
            us.any(us.rank == 1, False, True),
        ])
        if not us.leads:
            us.leave_word("stop", f"in {turn}")
        us.barrier()
        assert us.word("stop") == (f"in {turn}" if us.leads else None) and us.word("other") is None
with together() as us:
    assert us.word("stop") is None
    said.append([us.size, us.total(torch.ones(1, dtype=torch.float64) / 3).tolist()])
print(json.dumps(said))
"""
FAILING = """
import os, signal, sys, time
import torch
from mmseq.errors import DataError
from mmseq.processes import together

try:
    with together() as us:
        {fail}
        us.total(torch.ones(3))
        us.total(torch.ones(3))
except Exception as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 99))
"""
ONE = "if us.rank == 1: raise DataError('labels.csv:3: bad')"
BOTH = "time.sleep(0.5 * us.leads); raise DataError('labels.csv:3: bad')"
GONE = "if us.rank == 1: os.kill(os.getpid(), signal.SIGKILL)"


def test_two_tell_one_another(in_processes: Any) -> None:
    """Twice, one meeting after another, in the same processes.

    Caught: words of an earlier meeting taken for new ones; the leader's work done by both; sums in int32 or
    float32.
    """
    processes = in_processes(TOLD, 2)
    assert [ended.code for ended in processes] == [0, 0], [ended.err for ended in processes]
    for rank, ended in enumerate(processes):
        *meetings, last = json.loads(ended.out)
        gathered = [] if rank else [10, 11]
        found = bool(rank)  # the leader makes it, the other finds it
        said = [rank, 2, rank == 0, found, 0, gathered, [2.0, 2.0], [2.0**31], [True, False, True]]
        assert meetings == [said, said]
        assert last == [2, [2 / 3]]


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (ONE, {1}),
        pytest.param(BOTH, {0}, marks=pytest.mark.slow),
    ],
)
def test_an_error_ends_all_and_is_told_once(in_processes: Any, fail: str, told: set[int]) -> None:
    """By the process that has it; by the leader where all have it.

    Caught: the others left waiting; an error of all told by each; exit codes that differ.
    """
    processes = in_processes(FAILING.format(fail=fail), 2)
    assert [ended.code for ended in processes] == [2, 2], [ended.err for ended in processes]
    for rank, ended in enumerate(processes):
        *_, last = ended.err.splitlines()
        assert last.strip() == ("DataError labels.csv:3: bad" if rank in told else "ProcessLost"), ended.err


@pytest.mark.slow
def test_one_that_is_gone_without_a_word_is_told_by_the_other(in_processes: Any) -> None:
    """Caught: an error of gloo shown as a bug, or with its place in gloo's source; the other left waiting."""
    processes = in_processes(FAILING.format(fail=GONE), 2)
    assert [ended.code for ended in processes] == [1, -9]
    said = processes[0].err.splitlines()[-1]
    assert re.fullmatch(
        r"ProcessLost process 0 of 2: another one ended without a word, or cannot be reached any more "
        r"\([A-Za-z :]+(\[127[\d.]+\]:\d+)?[a-zA-Z :]*\); go on with --resume",
        said,
    ), said


def test_alone_there_is_nobody_to_ask() -> None:
    """Caught: an error that ends here; a leader that gathers nothing of its own; a broadcast to nobody."""
    with together() as us:
        assert us is ALONE and us.leads and us.size == 1
        assert (us.tell("a"), us.gather("a"), us.any(True, False)) == ("a", ["a"], [True, False])
        assert us.total(torch.tensor([1.5])).tolist() == [1.5]
        us.barrier()
        us.leave_word("stop", "now")
        assert us.word("stop") is None
    with pytest.raises(ZeroDivisionError), us.ending_together():
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"MASTER_ADDR": "host", "MASTER_PORT": "29500"}, ("host", 29500)),
        ({"SLURM_STEP_NODELIST": "node[07-09,11]", "SLURM_JOB_ID": "123456"}, ("node07", 18_456)),
        ({"SLURM_NODELIST": "a1 b2", "SLURM_JOB_ID": "5"}, ("a1", 15_005)),
        (
            {"SLURM_STEP_NODELIST": "n1", "SLURM_JOB_ID": "5", "MASTER_ADDR": "h", "MASTER_PORT": "7"},
            ("h", 7),
        ),
    ],
)
def test_where_they_meet(environment: dict[str, str], expected: tuple[str, int]) -> None:
    """As torchrun says; under srun at the step's first node, at a port of the job's own.

    Caught: the node list taken as a name.
    """
    assert _rendezvous(environment) == expected


class Words:
    """Where one process leaves word, before any other."""

    def __init__(self) -> None:
        self.said: list[dict[str, int]] = []

    def check(self, keys: list[str]) -> bool:
        return bool(self.said)

    def compare_set(self, key: str, before: str, word: str) -> str:
        self.said.append(json.loads(word))
        return word


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (Terminated, 143), (KeyError, 1)])
def test_who_is_asked_to_stop_says_so(error: type[BaseException], code: int) -> None:
    """The others then end with the code that the one ends with.

    Caught: 1 for whatever is no error of ours.
    """
    words = Words()
    with pytest.raises(error), Processes(Place(0, 2, 0, 2), store=words).ending_together():
        raise error
    assert words.said == [{"rank": 0, "exit_code": code}]
