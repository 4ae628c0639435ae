"""Single cells as a program has them: numbers and words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmseq.errors import DataError
from mmseq.limits import LARGEST_NUMBER, LARGEST_RULE
from mmseq.words import word_of


def number_cell(cell: Any) -> float:
    """A cell as a number, NaN where it is missing. Raises DataError for any other value."""
    if cell is None:
        return math.nan
    if isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool):
        try:
            number = float(cell)
        except OverflowError:  # a whole number beyond all floats
            number = math.inf
        if not math.isinf(number):
            if abs(number) > LARGEST_NUMBER:
                raise DataError(f"{str(cell)[:60]!r}: a value {LARGEST_RULE}")
            return number
    raise DataError(f"{str(cell)[:60]!r}: a value must be a finite number, or None where it is missing")


def word_cell(cell: Any) -> str | None:
    """A cell as a word, None where it is missing. Raises DataError for a list or an object."""
    if isinstance(cell, (Mapping, list, tuple)):
        raise DataError(f"{cell!r}: a category is a word, a number or a truth value, or None where missing")
    return word_of(cell)
