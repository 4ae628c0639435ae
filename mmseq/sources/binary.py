"""Bytes where only JSON can stand, as in lines of a stream; arrays where only bytes can."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

KEY = "base64"


def is_encoded(value: Any) -> bool:
    """Whether a value is written `{"base64": …}`."""
    return isinstance(value, Mapping) and set(value) == {KEY}


def encode(data: bytes) -> dict[str, str]:
    """Bytes as JSON can hold them."""
    return {KEY: base64.b64encode(data).decode("ascii")}


def decode(value: Any) -> Any:
    """The bytes of `{"base64": …}`; any other value as it is.

    Raises:
        ValueError: it is no text in base64.
    """
    if not is_encoded(value):
        return value
    text = value[KEY]
    if not isinstance(text, str):
        raise ValueError(f'{{"{KEY}": …}} holds text; {str(text)[:60]!r} came')
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f'{{"{KEY}": …}} holds bytes in base64; {error}; {text[:60]!r} came') from error


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as the bytes of a `.npy` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
