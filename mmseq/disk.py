"""What is on disk: the digest it is recognised by, and that it is there to stay."""

from __future__ import annotations

import hashlib
import os
from mmap import mmap
from pathlib import Path


def digest(content: bytes | mmap) -> str:
    """The sha256 of some bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """The sha256 of a file, which need not fit into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Waits until the disk holds a file's contents, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
