"""What is on disk: the digest it is recognised by, that it is there to stay, and that it is a plain file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import BinaryIO

from mmseq.errors import CheckpointError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def digest(content: bytes | mmap) -> str:
    """The sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """The sha256 of a file, which need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk refuses is told: a CheckpointError that names this file, or what was to become it."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            problem = f"needs room on the disk; it is full ({error.strerror}); make room and do it again"
        else:
            problem = f"must be writable; {error.strerror or error}; mend that, or name another place"
        raise CheckpointError(f"{path}: {problem}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside a file's; what is written there becomes the file at the end, complete or not at all.

    Raises:
        OSError: the disk refuses.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Gives the errors of an open file its name, which the system leaves out."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def is_full(error: OSError) -> bool:
    """Whether there is no room: on the disk, for this user, or for a file so large."""
    return error.errno in _FULL


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, and waits until the disk holds it. Raises OSError where it cannot."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it, to stay. Raises CheckpointError where it cannot."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)


def sync(path: Path) -> None:
    """Waits until the disk holds a file's contents, or the names in a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain_size(path: Path) -> int | None:
    """Bytes of a plain file; None where there is none, which a link, a pipe or a device is not."""
    try:
        status = path.lstat()
    except (OSError, ValueError):  # ValueError: no file can have that name
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def open_plain(path: Path) -> BinaryIO:
    """Opens a plain file, never what a link leads to, and never waiting for a pipe. Raises OSError."""
    return open(path, "rb", opener=_no_follow)


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
