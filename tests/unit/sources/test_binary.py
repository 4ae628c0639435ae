"""Bytes in JSON, arrays in bytes."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest

from mmseq.sources.binary import decode, encode, is_encoded, npy_bytes


@pytest.mark.parametrize("data", [b"", b"\x00\xff text", bytes(range(256))])
def test_bytes_there_and_back(data: bytes) -> None:
    assert decode(json.loads(json.dumps(encode(data)))) == data


@pytest.mark.parametrize("value", ["base64", 3, None, {}, {"base64": "aa==", "more": 1}, {"x": "aa=="}])
def test_other_values_are_left(value: Any) -> None:
    assert decode(value) is value and not is_encoded(value)


@pytest.mark.parametrize(
    ("text", "told"), [(3, "holds text; '3' came"), ("a?b=", "in base64; .*'a[?]b=' came")]
)
def test_what_is_not_base64_is_told(text: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        decode({"base64": text})


def test_arrays_as_npy() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    back = np.load(io.BytesIO(npy_bytes(array)), allow_pickle=False)
    assert back.dtype == np.uint8 and (back == array).all()
