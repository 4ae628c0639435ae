"""One text for a category, whatever type it comes in."""

from __future__ import annotations

import hashlib
import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

_WHOLE = re.compile(r"-?(0|[1-9]\d*)\.0")
_LARGEST = 9e15  # below it every whole number is a float


def word_of(value: Any) -> str | None:
    """The text that a store would keep of a value; None where it is missing.

    `3` for 3, 3.0, '3.0' and a decimal 3.00; `True` for True, 'true' and 'TRUE'; None for None, NaN and ''.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        if value.lower() in ("true", "false"):
            return value.capitalize()
        if _WHOLE.fullmatch(value) and abs(float(value)) < _LARGEST:
            return str(int(float(value)))
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if abs(value) < _LARGEST and value == math.trunc(value):  # infinity has no whole part
            return str(int(value))
    if isinstance(value, Decimal):
        return None if value.is_nan() else _shortest(f"{value:f}" if value else "0")
    return str(value)


def _shortest(digits: str) -> str:
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


@lru_cache(maxsize=65_536)
def word_number(word: str) -> int:
    """A number for a word, the same in any process; of different words, different but for 2^-64."""
    digest = hashlib.blake2b(word.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
