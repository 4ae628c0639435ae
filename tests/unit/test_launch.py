"""Processes that are watched over, in place of which small programs run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import mmseq.launch
from mmseq.errors import ProcessLost
from mmseq.launch import WATCHED, environment, launch, meeting_place
from mmseq.place import LISTENING

PROGRAM = """\
#!{python} -S
import os, pathlib, signal, sys, time
signal.alarm(20)  # whatever happens, it ends
rank, here = int(os.environ["RANK"]), pathlib.Path({here!r})

def note(name):
    (here / f"{{name}}.{{rank}}").touch()

def wait_for(name):
    while not (here / name).exists():
        time.sleep(0.01)

{code}
"""


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has each process run other code."""

    def put(code: str) -> None:
        path = tmp_path / "program"
        path.write_text(PROGRAM.format(python=sys.executable, here=str(tmp_path), code=code))
        path.chmod(0o755)
        monkeypatch.setattr(mmseq.launch.sys, "executable", str(path))

    return put


def _when_there(paths: list[Path], act: Callable[[], None]) -> threading.Thread:
    """Acts once some files are there."""

    def wait() -> None:
        deadline = time.monotonic() + 15
        while not all(path.exists() for path in paths) and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_each_is_told_its_place_and_only_the_first_prints(
    instead: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Caught: standard output of all; a place that another has, too."""
    instead(
        "names = 'LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE MASTER_ADDR'.split()\n"
        "said = [rank, *[os.environ[name] for name in names], *sys.argv[1:]]\n"
        "print(said)\n"
        "print('a warning', file=sys.stderr)\n"
        "(here / f'place.{rank}').write_text(f'{said} {os.environ[\"MASTER_PORT\"]}')"
    )
    launch(["train", "--resume", "a run"], 3)
    out, err = capfd.readouterr()
    assert out == "[0, '0', '3', '3', '127.0.0.1', '-m', 'mmseq', 'train', '--resume', 'a run']\n"
    assert err == "a warning\n"
    places = [path.read_text() for path in sorted(Path(mmseq.launch.sys.executable).parent.glob("place.*"))]
    assert [place[:7] for place in places] == ["[0, '0'", "[1, '1'", "[2, '2'"]
    assert len({place.split()[-1] for place in places}) == 1


def test_an_error_is_shown_once_and_its_exit_code_kept(
    instead: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Of the process that failed first, though others end with another code.

    Caught: the first rank's code taken; what the others say lost.
    """
    instead(
        "if rank == 1:\n    print('labels.csv: no such column', file=sys.stderr)\n    sys.exit(2)\n"
        "time.sleep(0.5)\nsys.exit(1)"
    )
    with pytest.raises(
        ProcessLost, match=r"^process 1 of 2 ended with exit code 2, and so all did$"
    ) as error:
        launch([], 2)
    assert error.value.exit_code == 2
    assert capfd.readouterr().err == "labels.csv: no such column\n"


def test_one_that_is_killed_ends_all(
    instead: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also others that would wait for it for ever.

    Caught: a wait for all, one after another; a code below zero.
    """
    monkeypatch.setattr(mmseq.launch, "_GRACE", 0.3)
    instead(
        "if rank == 1:\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwait_for('never')"
    )
    begin = time.monotonic()
    with pytest.raises(
        ProcessLost, match=r"^process 1 of 2 ended by SIGKILL, and so all did; go on with --resume$"
    ) as error:
        launch([], 2)
    assert error.value.exit_code == 1
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_first_alone(
    instead: Callable[[str], None], tmp_path: Path, number: signal.Signals
) -> None:
    """It tells the others; the code is the signal's, and nothing has to be added.

    Caught: a signal to all, by which each would stop at a step of its own; a handler that stays.
    """
    before = signal.getsignal(number)
    instead(
        f"signal.signal({int(number)}, lambda *_: (note('came'), sys.exit(128 + {int(number)})))\n"
        f"note('ready')\nwait_for('came.0')\ntime.sleep(0.2)\nsys.exit(128 + {int(number)})"
    )
    _when_there([tmp_path / f"ready.{i}" for i in (0, 1)], lambda: os.kill(os.getpid(), number))
    with pytest.raises(ProcessLost, match=r"^$") as error:
        launch([], 2)
    assert error.value.exit_code == 128 + number
    assert (tmp_path / "came.0").exists() and not (tmp_path / "came.1").exists()
    assert signal.getsignal(number) == before


def test_a_second_signal_goes_to_all(instead: Callable[[str], None], tmp_path: Path) -> None:
    """Caught: one that stays, since the first alone is told."""
    instead(
        "def come(*_):\n    if (here / 'first.0').exists():\n        note('second')\n        sys.exit(143)\n"
        "    note('first')\n"
        "signal.signal(signal.SIGTERM, come)\nnote('ready')\nwait_for('never')"
    )

    def send() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        _when_there([tmp_path / "first.0"], lambda: os.kill(os.getpid(), signal.SIGTERM)).join()

    _when_there([tmp_path / f"ready.{i}" for i in (0, 1)], send)
    with pytest.raises(ProcessLost) as error:
        launch([], 2)
    assert error.value.exit_code == 143
    assert all((tmp_path / f"second.{rank}").exists() for rank in (0, 1))


def test_none_outlives_a_launch_that_fails(
    instead: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: processes that are left running."""
    instead("(here / f'pid.{rank}').write_text(str(os.getpid()))\nnote('ready')\nwait_for('never')")

    def fail(ranks: object) -> tuple[int, int]:
        while not all((tmp_path / f"ready.{i}").exists() for i in (0, 1)):
            time.sleep(0.01)
        raise OSError

    monkeypatch.setattr(mmseq.launch, "_wait", fail)
    with pytest.raises(OSError):
        launch([], 2)
    for rank in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid.{rank}").read_text()), 0)


def test_one_whose_launcher_is_no_more_is_asked_to_stop() -> None:
    """Caught: processes that train on, unseen."""
    code = (
        "import signal, sys, time\nfrom mmseq.launch import end_with_launcher\nsignal.alarm(30)\n"
        "end_with_launcher()\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    alive, ours = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {WATCHED: str(alive)},
        pass_fds=(alive,),
        stdout=subprocess.PIPE,
    )
    os.close(alive)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    assert child.poll() is None
    os.close(ours)
    assert child.wait(timeout=30) == -signal.SIGTERM
    child.stdout.close()


def test_nobody_takes_the_place_where_processes_are_to_meet() -> None:
    """Caught: a port that was looked up and let go, which another program may have by then."""
    with meeting_place() as there, socket.socket() as other:
        first, second = (environment(rank, 2, there) for rank in range(2))
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", int(second["MASTER_PORT"])))
        assert (first[LISTENING], LISTENING in second) == (str(there.fileno()), False)
