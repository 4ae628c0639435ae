"""A `.npy` file: written in pieces, read by numpy, its header read back without evaluating it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmseq.store.npy import HEADER, NpyWriter, read_header, write_npy

ARRAYS = {
    "numbers": np.arange(6, dtype=np.float64),
    "rows": np.arange(6, dtype=np.float32).reshape(3, 2),
    "none": np.zeros((0, 4), np.int32),
    "images": np.arange(120, dtype=np.uint8).reshape(1, 4, 5, 3, 2),
    "text": np.array(["a", "ünïcode", ""]),
    "no text": np.array([], dtype="<U5"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_there_and_back(tmp_path: Path, name: str) -> None:
    array = ARRAYS[name]
    write_npy(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)
    header = (tmp_path / "a.npy").read_bytes()[:HEADER]
    assert read_header(header) == (array.dtype.str, array.shape)


@pytest.mark.parametrize("name", ["numbers", "rows", "none", "images", "text"])
def test_headers_of_numpy(tmp_path: Path, name: str) -> None:
    """What another program writes with numpy is read."""
    array = ARRAYS[name]
    np.save(tmp_path / "a.npy", array)
    assert read_header((tmp_path / "a.npy").read_bytes()[:HEADER]) == (array.dtype.str, array.shape)


def test_in_pieces(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "a.npy", "float32", (2,)) as writer:
        writer.append(np.ones((2, 2)))
        writer.append(np.zeros((0, 2)))
        writer.append(np.asfortranarray(np.arange(6).reshape(3, 2)))
    assert np.load(tmp_path / "a.npy").tolist() == [[1, 1], [1, 1], [0, 1], [2, 3], [4, 5]]


def test_rows_of_another_shape(tmp_path: Path) -> None:
    with NpyWriter(tmp_path / "a.npy", "float32") as writer, pytest.raises(ValueError, match="rows of shape"):
        writer.append(np.ones((2, 2)))


@pytest.mark.parametrize(
    "facts",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': True, 'shape': (1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 3, 4, 5, 6), }",
        "{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }",
        "__import__('os').getcwd()",
        "",
    ],
)
def test_headers_that_are_not_ours(facts: str) -> None:
    content = b"\x93NUMPY\x01\x00\x76\x00" + facts.ljust(HEADER - 11).encode() + b"\n"
    with pytest.raises(ValueError, match="not that of a plain array"):
        read_header(content)


def test_full_disk_names_the_file(tmp_path: Path) -> None:
    """The system leaves the name out. caught: `ndarray.tofile`, which fails without saying why."""
    writer = NpyWriter(tmp_path / "a.npy", "float64")
    writer._file.close()
    writer._file = open("/dev/full", "wb")  # noqa: SIM115 – closed below
    with pytest.raises(OSError) as caught, writer:
        writer.append(np.ones(100_000))
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "a.npy"))
    assert writer._file.closed
