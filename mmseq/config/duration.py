"""Lengths of time as the user writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

DURATION = r"^\d+(\.\d+)?\s*(s|min|h|d)$"


def _some_time(duration: str) -> str:
    if not re.search("[1-9]", duration):
        raise ValueError(f"needs some time; {duration!r} came; lengthen it")
    return duration


Duration = Annotated[str, Field(pattern=DURATION), AfterValidator(_some_time)]
"""A length of time above 0, such as `30min`, `2h`, `7d`."""
