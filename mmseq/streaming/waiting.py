"""What came of a sample and has made no step yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmseq.sources.binary import encode, npy_bytes
from mmseq.streaming.clock import Time


@dataclass
class Waiting:
    """What came of a sample since its last step.

    Attributes:
        end: when the step is to be: an absolute time, see `LiveClock`.
        values: by modality, the raw values that came, in order.
    """

    end: Time
    values: dict[str, list[Any]]


def plain_cells(values: Any) -> Any:
    """Raw values as JSON can hold them, the same numbers, words and bytes."""
    if isinstance(values, bytes | bytearray | memoryview):
        return encode(bytes(values))
    if isinstance(values, np.ndarray) and values.ndim > 1:  # of a payload, which may have many elements
        return encode(npy_bytes(values))
    if isinstance(values, Mapping):
        return {name: plain_cells(value) for name, value in values.items()}
    if isinstance(values, (list, tuple, np.ndarray)):
        return [plain_cells(value) for value in values]
    value = values.item() if isinstance(values, np.generic) else values
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)
