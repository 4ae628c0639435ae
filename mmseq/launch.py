"""Several processes on one machine, watched over by the one that was asked for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO

from mmseq.errors import ProcessLost
from mmseq.place import LISTENING
from mmseq.signals import STOPS, handling

_GRACE = 20.0  # seconds that processes have to end by themselves once one has failed
_QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # torch warns of one that is gone by its own stack in C++
WATCHED = "MMSEQ_LAUNCHER"  # the end of a pipe that closes when the launcher is no more


def launch(arguments: Sequence[str], size: int) -> None:
    """Runs `mmseq` with these arguments in so many processes, as torchrun would, until all have ended.

    The first one prints; what the others print on standard error is shown where one of them fails. SIGINT
    and SIGTERM go on to the first, which sees to it that all stop at the same step.

    Raises:
        ProcessLost: one failed; it has told why.
    """
    alive, ours = os.pipe()
    with _ranks(arguments, size, alive) as (ranks, said):
        os.close(alive)
        with _passing_on(ranks):
            code, failed = _wait(ranks)
        os.close(ours)
        if not code:
            return
        for file in said:
            _show(file)
        raise _lost(size, failed, code)


def _lost(size: int, failed: int, code: int) -> ProcessLost:
    """What to add to what the process itself has said."""
    if -code in STOPS:
        code = 128 - code
    if code in [128 + number for number in STOPS]:
        return ProcessLost("", code)
    told = f"process {failed} of {size} ended"
    if code < 0:  # it could not say how to go on
        name = signal.Signals(-code).name
        return ProcessLost(f"{told} by {name}, and so all did; go on with --resume", 1)
    return ProcessLost(f"{told} with exit code {code}, and so all did", code)


@contextmanager
def _ranks(
    arguments: Sequence[str], size: int, alive: int
) -> Iterator[tuple[list[subprocess.Popen[bytes]], list[IO[bytes] | None]]]:
    """The processes, and where all but the first write their standard error."""
    ranks: list[subprocess.Popen[bytes]] = []
    said: list[IO[bytes] | None] = []
    try:
        with meeting_place() as there:
            for rank in range(size):
                said.append(tempfile.TemporaryFile() if rank else None)  # noqa: SIM115 – closed below
                ranks.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "mmseq", *arguments],
                        env=_QUIET | os.environ | environment(rank, size, there) | {WATCHED: str(alive)},
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL if rank else None,
                        stderr=said[rank],
                        pass_fds=(alive,) if rank else (alive, there.fileno()),
                        start_new_session=True,  # Ctrl-C reaches the launcher alone
                    )
                )
        yield ranks, said
    finally:
        for process in ranks:
            if process.poll() is None:
                process.kill()
                process.wait()
        for file in said:
            if file is not None:
                file.close()


def meeting_place() -> socket.socket:
    """Listens already, so that nobody else gets its port before the first process does."""
    return socket.create_server(("127.0.0.1", 0))


def environment(rank: int, size: int, there: socket.socket) -> dict[str, str]:
    """What a process of one machine is told of its place; the first one also of the socket passed to it."""
    told: dict[str, object] = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    told["MASTER_ADDR"], told["MASTER_PORT"] = there.getsockname()
    if not rank:
        told[LISTENING] = there.fileno()
    return {name: str(value) for name, value in told.items()}


def _wait(ranks: list[subprocess.Popen[bytes]]) -> tuple[int, int]:
    """Waits for all; the exit code of the first that failed, and which that was."""
    code = failed = 0
    deadline = float("inf")
    while any(rank.poll() is None for rank in ranks):
        for i, rank in enumerate(ranks):
            if rank.poll() and not code:
                code, failed, deadline = rank.returncode, i, time.monotonic() + _GRACE
        if time.monotonic() > deadline:
            for rank in ranks:
                rank.kill()
        time.sleep(0.05)
    for i, rank in enumerate(ranks):
        if rank.returncode and not code:
            code, failed = rank.returncode, i
    return code, failed


@contextmanager
def _passing_on(ranks: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """A first signal goes to the first process, which tells the others; a second one to all."""
    came: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        for rank in ranks if came else ranks[:1]:
            if rank.poll() is None:
                rank.send_signal(number)
        came.append(number)

    with handling(pass_on):
        yield


def _show(file: IO[bytes] | None) -> None:
    if file is not None:
        file.seek(0)
        sys.stderr.write(file.read().decode(errors="replace"))
        sys.stderr.flush()


def end_with_launcher() -> None:
    """In a launched process: SIGTERM comes when the launcher is no more, so that none trains on unseen."""
    descriptor = os.environ.get(WATCHED)
    if descriptor is None:
        return

    def watch(pipe: int) -> None:
        os.read(pipe, 1)  # returns when the other end closes
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3 * _GRACE)
        os._exit(128 + signal.SIGTERM)  # it waits for another that has ended already

    threading.Thread(target=watch, args=(int(descriptor),), daemon=True).start()
