"""Arguments that come from Python, where nothing has checked their types."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmseq.errors import ConfigError


def check_number(name: str, value: Any, *, whole: bool = False) -> None:
    """Raises ConfigError where an argument is no number, or no whole one."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        what = "a whole number" if whole else "a number"
        raise ConfigError(f"{name} must be {what}; {value!r} came, a {type(value).__name__}")
