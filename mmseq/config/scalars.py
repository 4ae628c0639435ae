"""Scalars of the YAML 1.2 core schema: what an unquoted word stands for.

Source: YAML 1.2.2, section 10.3.2, https://yaml.org/spec/1.2.2/#1032-tag-resolution
"""

from __future__ import annotations

import math
import re

INT64 = range(-(2**63), 2**63)

NULL = re.compile(r"null|Null|NULL|~|")
BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


def resolve(word: str) -> bool | int | float | str | None:
    """The value of an unquoted word.

    Raises:
        ValueError: a number that is not finite, or a whole one beyond 64 bits.
    """
    if NULL.fullmatch(word):
        return None
    if BOOL.fullmatch(word):
        return word.lower() == "true"
    if INT.fullmatch(word):
        return _int(word)
    if FLOAT.fullmatch(word):
        return _float(word)
    return word


def _int(word: str) -> int:
    base = {"0o": 8, "0x": 16}.get(word[:2], 10)
    number = int(word[2:] if base != 10 else word, base) if len(word) < 64 else None
    if number is None or number not in INT64:
        raise ValueError("a whole number fits in 64 bits")
    return number


def _float(word: str) -> float:
    number = math.inf if word[-1].isalpha() else float(word)
    if not math.isfinite(number):
        raise ValueError("a number is finite")
    return number
