"""A `.npy` file as a read-only array over its memory map, checked against the manifest."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from mmseq.disk import digest, open_plain, plain_size
from mmseq.errors import CheckpointError
from mmseq.store.form import Form
from mmseq.store.manifest import REMEDY, File
from mmseq.store.npy import HEADER, read_header


def map_npy(path: Path, file: File, form: Form, *, is_new: bool) -> np.ndarray:
    """The array in a file.

    Args:
        path: of the file.
        file: what the manifest says of it.
        form: the dtype and shape that it must have.
        is_new: its digest was not checked by this process yet. Checking reads through the map, which
            spares later reads the page faults.

    Returns:
        a plain array, since every slice of a `numpy.memmap` costs microseconds.

    Raises:
        CheckpointError: the file is missing, altered or cut short, or holds another array.
    """
    check_size(path, file)
    try:
        with open_plain(path) as opened:
            content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise CheckpointError(f"{path}: cannot be read; {error}; {REMEDY}") from error
    if is_new and digest(content) != file.sha256:
        raise CheckpointError(
            f"{path}: must have the sha256 that the manifest says; it was altered; {REMEDY}"
        )
    try:
        dtype, shape = read_header(content[:HEADER])
    except ValueError as error:
        raise CheckpointError(f"{path}: must be a plain .npy file; {error}; {REMEDY}") from error
    n_bytes = np.dtype(dtype).itemsize * np.prod(shape, dtype=object) if form.is_met(dtype, shape) else None
    if n_bytes != len(content) - HEADER:
        raise CheckpointError(
            f"{path}: must hold {form}, as the manifest says; it holds {dtype} {shape} in "
            f"{len(content) - HEADER} bytes; {REMEDY}"
        )
    return np.frombuffer(content, dtype, offset=HEADER).reshape(shape) if n_bytes else np.empty(shape, dtype)


def check_size(path: Path, file: File) -> None:
    """Raises CheckpointError where a plain file is missing or has another size."""
    size = plain_size(path)
    if size != file.size:
        missing = "it is no plain file" if path.is_symlink() or path.exists() else "it is missing"
        came = missing if size is None else f"it has {size}"
        raise CheckpointError(f"{path}: the manifest says {file.size} bytes; {came}; {REMEDY}")
