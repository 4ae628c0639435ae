"""Lengths of time as the user writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

DURATION = r"^\d+(\.\d+)?\s*(s|min|h|d)$"


def _with_unit(duration: object) -> object:
    if not isinstance(duration, str) or not re.fullmatch(DURATION, duration):
        raise ValueError(
            f"needs a number with its unit, s, min, h or d, such as 30min or 2h; {str(duration)[:60]!r} came"
        )
    return duration


def _some_time(duration: str) -> str:
    if not re.search("[1-9]", duration):
        raise ValueError(f"needs some time; {duration!r} came; lengthen it")
    return duration


Duration = Annotated[str, Field(pattern=DURATION), BeforeValidator(_with_unit), AfterValidator(_some_time)]
"""A length of time above 0, such as `30min`, `2h`, `7d`."""
