"""Folders that are built beside their place, and what a kill leaves of them.

Whoever builds one holds a lock on a file beside it: what nobody holds is swept away by the next who builds
in the same folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmseq.disk import writing

PARTIAL, LOCK = ".mmseq-partial.", ".mmseq-lock."


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """An empty folder beside a place, locked while we live, and gone afterwards unless it was renamed.

    Raises:
        CheckpointError: it cannot be made.
    """
    token = uuid.uuid4().hex[:12]
    root, lock = folder.with_name(PARTIAL + token), folder.with_name(LOCK + token)
    with writing(folder):
        handle = _locked(lock)
    try:
        with writing(folder):
            root.mkdir()
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def sweep(folder: Path) -> None:
    """Removes what killed processes left in a folder: nobody holds its lock."""
    for path in [*folder.glob(f"{PARTIAL}*"), *folder.glob(f"{LOCK}*")]:
        token = path.name.rpartition(".")[2]
        with suppress(OSError):
            _sweep(folder / (PARTIAL + token), folder / (LOCK + token))


def _sweep(root: Path, lock: Path) -> None:
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if root.exists():
            shutil.rmtree(root)
        lock.unlink()
    finally:
        os.close(handle)


def discard(folder: Path) -> None:
    """Removes a folder: a kill on the way leaves it whole, or to be swept away."""
    doomed = folder.with_name(PARTIAL + uuid.uuid4().hex[:12])
    with suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed)


def _locked(lock: Path) -> int:
    """A handle of a lock that we hold, where the file system has locks."""
    while True:
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if lock.exists():
            return handle
        os.close(handle)  # it was swept away before we held it
