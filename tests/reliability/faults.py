"""A disk that fails: at the n-th call that changes it, the process ends, or the disk is full.

Calls are counted at the level of the system: a file's writes are those of its buffer. What other libraries
write by themselves is not seen.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmseq.errors import MmseqError

DONE, CRASHED, TOLD, BROKEN = 0, 77, 78, 79
REMOVING = ("unlink", "rmdir")

Fault = Literal["crash", "torn", "lost", "full", "full once"]


@dataclass
class Disk:
    """What a process does to the disk, and what goes wrong; as a context, in force.

    Attributes:
        root: calls elsewhere are left alone.
        at: the number of the call, from 0; None: all is well.
        fault: the process ends before the call (`crash`), with half of a write (`torn`), with half of it
            and without whatever was not synced (`lost`); or the disk is full from then on (`full`), or
            for that call (`full once`).
        trace: (call, path, …) of each call, in order.
    """

    root: Path
    at: int | None = None
    fault: Fault = "crash"
    trace: list[tuple[str, ...]] = field(default_factory=list)

    def __enter__(self) -> Disk:
        self._unsynced: dict[tuple[int, int], int] = {}
        self._before = {(module, name): getattr(module, name) for module, name in _PATCHED}
        self.open = io.open
        for module, name in _PATCHED:
            patched = self._open if name == "open" and module is not os else getattr(self, f"_os_{name}")
            setattr(module, name, patched)
        return self

    def __exit__(self, *_: object) -> None:
        for (module, name), function in self._before.items():
            setattr(module, name, function)

    def call(self, name: str, *paths: str, half: Callable[[], None] | None = None) -> None:
        """Counts a call, and fails where it is the one."""
        if not Path(paths[0]).is_relative_to(self.root):
            return
        n = len(self.trace)
        self.trace.append((name, *(os.path.relpath(path, self.root) for path in paths)))
        if self.at is None or n < self.at or (n > self.at and self.fault != "full"):
            return
        if self.fault.startswith("full"):
            if name not in REMOVING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *paths[: name != "write"])
            return
        if half is not None and self.fault != "crash":
            half()
        if self.fault == "lost":
            for descriptor in self._unsynced.values():
                os.ftruncate(descriptor, 0)
        os._exit(CRASHED)

    def wrote(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        self._unsynced.setdefault((status.st_dev, status.st_ino), os.dup(descriptor))

    def _real(self, name: str) -> Any:
        return self._before[os, name]

    def _os_fsync(self, descriptor: int) -> None:
        self.call("fsync", _path(descriptor))
        status = os.fstat(descriptor)
        self._unsynced.pop((status.st_dev, status.st_ino), None)  # its copy stays open: the process is short
        self._real("fsync")(descriptor)

    def _os_rename(self, source: Any, target: Any, **folders: Any) -> None:
        self.call("rename", os.fspath(source), os.fspath(target))
        self._real("rename")(source, target, **folders)

    def _os_replace(self, source: Any, target: Any, **folders: Any) -> None:
        self.call("rename", os.fspath(source), os.fspath(target))
        self._real("replace")(source, target, **folders)

    def _os_mkdir(self, path: Any, *arguments: Any, **options: Any) -> None:
        self.call("mkdir", os.fspath(path))
        self._real("mkdir")(path, *arguments, **options)

    def _os_unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self.call("unlink", _path(dir_fd, path))
        self._real("unlink")(path, dir_fd=dir_fd)

    def _os_rmdir(self, path: Any, *, dir_fd: int | None = None) -> None:
        self.call("rmdir", _path(dir_fd, path))
        self._real("rmdir")(path, dir_fd=dir_fd)

    def _os_open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if flags & os.O_CREAT:
            self.call("create", os.fspath(path))
        return self._real("open")(path, flags, *arguments, **options)

    def _open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        if isinstance(file, int) or not set(mode) & set("wax+"):
            return self.open(file, mode, buffering, *rest, **options)
        self.call("create", os.fspath(file))
        raw = _File(self, os.fspath(file), mode.replace("t", "").replace("b", ""))
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        options.pop("opener", None)
        return io.TextIOWrapper(buffered, *rest, **options)


_PATCHED = [
    *((os, name) for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "open")),
    (io, "open"),
    (builtins, "open"),
]


class _File(io.FileIO):
    def __init__(self, disk: Disk, path: str, mode: str) -> None:
        self.disk, self.path = disk, path
        super().__init__(path, mode)

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        self.disk.call(
            "write", self.path, half=lambda: super(_File, self).write(content[: len(content) // 2]) and None
        )
        written = super().write(content)
        self.disk.wrote(self.fileno())
        return written

    def close(self) -> None:
        if not self.closed:
            super().close()
            self.disk.call("close", self.path)


def _path(descriptor: int | None, name: Any = "") -> str:
    """Where an open folder or file is, or what is called so in it."""
    folder = "" if descriptor is None else os.readlink(f"/proc/self/fd/{descriptor}")
    return os.path.join(folder, os.fspath(name)).rstrip("/")


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: `DONE`, `CRASHED`, `TOLD` (an error for users) or `BROKEN` (any other)."""

    code: int
    message: str


def trial(act: Callable[[], Any]) -> Outcome:
    """Does something in a process of its own, forked from this one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code, message = DONE, ""
        try:
            act()
        except MmseqError as error:
            code, message = TOLD, str(error)
        except BaseException:
            code, message = BROKEN, traceback.format_exc()
        os.write(writing, message.encode()[:60_000])
        os._exit(code)
    os.close(writing)
    with open(reading, "rb") as pipe:
        message = pipe.read().decode()
    return Outcome(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message)
