"""Rows of any length, in one flat array."""

from __future__ import annotations

import numpy as np
import pytest

from mmseq.ragged import Ragged

ROWS = [np.arange(3), np.arange(0), np.array([7]), np.arange(5, 9)]


@pytest.fixture
def ragged() -> Ragged:
    return Ragged.of(ROWS, "int16")


def listed(ragged: Ragged) -> list[list[int]]:
    return [row.tolist() for row in ragged]


def test_rows(ragged: Ragged) -> None:
    assert len(ragged) == 4 and ragged.dtype == np.int16
    assert listed(ragged) == [row.tolist() for row in ROWS]
    assert ragged.counts.tolist() == [3, 0, 1, 4]


@pytest.mark.parametrize(
    "rows", [slice(1, 3), slice(0, 0), np.array([3, 0, 0]), np.array([True, False, False, True])]
)
def test_some_rows(ragged: Ragged, rows: slice | np.ndarray) -> None:
    assert listed(ragged[rows]) == [ROWS[i].tolist() for i in np.arange(4)[rows]]


def test_none() -> None:
    none = Ragged.of([], "float16")
    assert len(none) == 0 and none.dtype == np.float16 and listed(none) == []


def test_join(ragged: Ragged) -> None:
    assert listed(Ragged.join([ragged[:2], Ragged.of([], "int16"), ragged[2:]])) == listed(ragged)
