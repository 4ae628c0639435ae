from __future__ import annotations

import numpy as np
import pytest

from mmseq.heads.labels import Labels, encode_numbers, natural_order


def test_natural_order() -> None:
    names = ["b", "10", "nan", "9", "-1.5", "a", "1e1"]
    assert natural_order(names) == ["-1.5", "9", "10", "1e1", "a", "b", "nan"]


def test_rows_without_anything_observed_are_gone() -> None:
    values = np.array([[1, np.nan], [np.nan, np.nan], [0, 2]])
    encoded = encode_numbers(Labels(("a", "b"), values, np.zeros(0)))
    assert encoded.row.tolist() == [0, 2]
    assert encoded.value.tolist() == [[1, 0], [0, 2]]
    assert encoded.observed is not None and encoded.observed.tolist() == [[True, False], [True, True]]
    assert encode_numbers(Labels(("a", "b"), values[2:], np.zeros(0))).observed is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_keep_the_precision_of_the_store(dtype: type[np.floating]) -> None:
    encoded = encode_numbers(Labels(("a",), np.array([[1e9 + 1], [np.nan]], dtype), np.zeros(0)))
    assert encoded.value.dtype == dtype and encoded.value.tolist() == [[dtype(1e9 + 1)]]


def test_error_says_where() -> None:
    labels = Labels(("a", "b"), np.zeros((0, 2)), np.zeros(0), task="late")
    assert str(labels.error("is empty")) == "task 'late', column a, b: is empty"
    assert str(labels.error("is empty", "b")) == "task 'late', column b: is empty"
