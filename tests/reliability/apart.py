"""Programs in processes of their own, which may fail, be killed or be asked to stop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT = 150.0
"""Seconds that one may take."""
MMSEQ = ["-m", "mmseq"]


@contextmanager
def started(folder: Path, program: list[str], **told: str) -> Iterator[subprocess.Popen[str]]:
    """Python with these arguments, in a folder; it is killed where it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | told,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:  # waits for it, and closes the pipes
        try:
            yield process
        finally:
            process.kill()


def finished(folder: Path, program: list[str], **told: str) -> subprocess.CompletedProcess[str]:
    """The same, once it has ended."""
    with started(folder, program, **told) as process:
        out, err = process.communicate(timeout=LIMIT)
    return subprocess.CompletedProcess(program, process.returncode, out, err)
