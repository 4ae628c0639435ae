"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from typing import Literal


def rate(step: int, total: int, warmup: float, schedule: Literal["constant", "cosine", "linear"]) -> float:
    """Factor on the peak rate at an optimizer step: rises over the warm-up, then falls to 0 or stays.

    Args:
        step: from 0.
        total: optimizer steps of the whole run.
        warmup: share of them over which the rate rises linearly.
        schedule: how it goes on.
    """
    rise = warmup * total
    if step < rise:
        return (step + 1) / (rise + 1)
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - rise) / max(1.0, total - rise))
    return 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
