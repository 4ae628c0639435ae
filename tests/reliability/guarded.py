"""Processes that are watched: what they import, run, open and reach, and how much memory they ask for.

Run as a program it is a server: it imports and reads good folders once, then forks for each request. It is an
interpreter as users have it, without the checks that tests put into every function.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import resource
import signal
import subprocess
import sys
import sysconfig
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY = 1 << 30
"""Bytes of address space that it may take beyond what it begins with."""
SECONDS = 30
REACHING = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.")
RUNNING = ("exec", "compile", "pickle.find_class", "ctypes.dlopen", "code.__new__")

Readers = dict[str, Callable[[Any], Any]]
Seen = list[str]


@dataclass(frozen=True)
class Watched:
    """How a process ended.

    Attributes:
        code: exit code for users; None: not by an error for them.
        message: of the error, the traceback, or what was printed.
        seen: what it did that it must not.
    """

    code: int | None
    message: str
    seen: Seen


class Server:
    """Does things in processes that are watched, one at a time.

    Args:
        good: by kind, folders that are read once beforehand, so that what is imported lazily is there.
        lines: command lines that are run once beforehand.
    """

    def __init__(self, good: dict[str, Path], lines: Sequence[Sequence[str]] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ask({"good": {kind: str(path) for kind, path in good.items()}, "lines": lines})

    def watch(self, kind: str, target: Any, inside: Sequence[Path], cwd: Path) -> Watched:
        """Reads a folder of a kind, or runs a command line (`cli`), or an expression (`eval`).

        Args:
            kind: what to do.
            target: with what.
            inside: files in these folders may be opened.
            cwd: working directory, which is also where modules are looked for first.
        """
        request = {"kind": kind, "target": target, "inside": [str(path) for path in inside], "cwd": str(cwd)}
        return Watched(*self._ask(request))

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.close()
            raise RuntimeError("the server has ended; standard error tells why")
        return json.loads(answer)

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def _readers() -> Readers:
    import numpy as np

    from mmseq.cli.main import main
    from mmseq.model import Model
    from mmseq.run import Run
    from mmseq.store import Store
    from mmseq.training.checkpoint import read_checkpoint

    def read_store(folder: str) -> None:
        store = Store.open(Path(folder))
        store.gather(np.arange(len(store)))

    return {
        "bundle": Model.load,
        "checkpoint": lambda folder: read_checkpoint(Path(folder)),
        "store": read_store,
        "run": lambda folder: Run(folder).model(),
        "cli": main,
        "eval": lambda text: eval(text),
    }


def _serve() -> None:
    import torch

    torch.set_num_threads(1)
    readers, answers = _readers(), sys.stdout
    sys.stdout = sys.stderr
    first = json.loads(sys.stdin.readline())
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        for kind, folder in first["good"].items():
            readers[kind](folder)
            with contextlib.suppress(Exception):
                readers[kind](folder + "/none")
        for line in first["lines"]:
            assert readers["cli"](line) == 0, line
    print(json.dumps(True), file=answers, flush=True)
    for request in sys.stdin:
        print(json.dumps(_forked(readers, json.loads(request))), file=answers, flush=True)


def _forked(readers: Readers, request: dict[str, Any]) -> Any:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with open(writing, "wb") as pipe:
            pipe.write(json.dumps(_watched(readers, request)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(told) if told else (None, f"ended with {status}", [])


def _watched(readers: Readers, request: dict[str, Any]) -> tuple[int | None, str, Seen]:

    from mmseq.errors import MmseqError

    os.chdir(request["cwd"])
    sys.path.insert(0, request["cwd"])
    signal.alarm(SECONDS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    said, seen = io.StringIO(), _hook(request["inside"])
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = readers[request["kind"]](request["target"])
    except MmseqError as error:
        return error.exit_code, str(error), list(seen)
    except BaseException:
        watched = list(seen)
        return None, traceback.format_exc()[-3_000:], watched
    return code if request["kind"] == "cli" else 0, said.getvalue(), list(seen)


def _hook(inside: Sequence[str]) -> Seen:
    """Watches this process from now on, for good."""
    seen: Seen = []
    own, annotating = tuple(_own_folders()), (typing.__file__, inspect.__file__)
    allowed = (*(os.path.realpath(path) for path in inside), *own)
    known = {name.partition(".")[0] for name in sys.modules} | set(sys.stdlib_module_names)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if not isinstance(arguments[0], int):
                path = os.path.realpath(os.fsdecode(arguments[0]))
                if not path.startswith(allowed):
                    seen.append(f"open {path}")
        elif event == "import":
            if arguments[0].partition(".")[0] not in known:
                seen.append(f"import {arguments[0]}")
        elif event == "marshal.loads":
            if "importlib" not in sys._getframe(1).f_code.co_filename:
                seen.append(event)
        elif event == "exec" and arguments[0].co_filename.startswith(own):
            pass  # a module of a package that is installed
        elif event == "compile" and os.fsdecode(arguments[1] or b"").startswith(own):
            pass
        elif event in ("exec", "compile") and sys._getframe(1).f_code.co_filename in annotating:
            pass  # annotations of a command line's functions
        elif event in RUNNING or event.startswith(REACHING):
            seen.append(f"{event} {str(arguments)[:200]}")

    sys.addaudithook(hook)
    return seen


def _own_folders() -> list[str]:
    """Of the interpreter, its packages, and this project's."""
    import mmseq

    paths = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, str(Path(mmseq.__file__).parent)}
    return [os.path.realpath(path) for path in paths]


if __name__ == "__main__":
    _serve()
