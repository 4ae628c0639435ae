"""A `.npy` file as a read-only array over its memory map, checked against the manifest."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from mmseq.disk import digest
from mmseq.errors import CheckpointError
from mmseq.store.manifest import REMEDY, File
from mmseq.store.npy import HEADER


def map_npy(path: Path, file: File, *, is_new: bool) -> np.ndarray:
    """The array in a file.

    Args:
        path: of the file.
        file: what the manifest says of it.
        is_new: its digest was not checked by this process yet. Checking reads through the map, which
            spares later reads the page faults.

    Returns:
        a plain array, since every slice of a `numpy.memmap` costs microseconds.

    Raises:
        CheckpointError: the file is missing, altered or cut short.
    """
    check_size(path, file)
    with path.open("rb") as opened:
        content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    if is_new and digest(content) != file.sha256:
        raise CheckpointError(
            f"{path}: must have the sha256 that the manifest says; it was altered; {REMEDY}"
        )
    header = io.BytesIO(content[:HEADER])
    npy_format.read_magic(header)
    shape, _, dtype = npy_format.read_array_header_1_0(header)
    if 0 in shape or not dtype.itemsize:
        return np.empty(shape, dtype)
    return np.frombuffer(content, dtype, offset=HEADER).reshape(shape)


def check_size(path: Path, file: File) -> None:
    """Raises CheckpointError where a file is missing or has another size."""
    size = path.stat().st_size if path.is_file() else None
    if size != file.size:
        came = "it is missing" if size is None else f"it has {size}"
        raise CheckpointError(f"{path}: the manifest says {file.size} bytes; {came}; {REMEDY}")
