"""What waits is kept as JSON: the same numbers, words, bytes and arrays."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from mmseq.sources.binary import decode
from mmseq.streaming.waiting import plain_cells


@pytest.mark.parametrize("data", [b"\x89PNG\xff", bytearray(b"ab"), memoryview(b"cd")])
def test_bytes_stay_bytes(data: Any) -> None:
    """Caught: `str(data)`, as a number's or word's fallback."""
    kept = json.loads(json.dumps(plain_cells({"camera": [data]})))
    assert decode(kept["camera"][0]) == bytes(data)
    assert plain_cells(kept) == kept


def test_arrays_keep_shape_and_type() -> None:
    array = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    kept = json.loads(json.dumps(plain_cells([array])))
    back = np.load(io.BytesIO(decode(kept[0])))
    assert back.dtype == np.uint8 and (back == array).all()


def test_rows_stay_rows() -> None:
    assert plain_cells(np.array([1.5, np.nan])) == [1.5, None]
    assert plain_cells({"a": np.int64(3), "b": "word", "c": True}) == {"a": 3, "b": "word", "c": True}
