"""Types of arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mmseq.errors import ConfigError
from mmseq.given import check_number


@pytest.mark.parametrize("value", [0, 1.5, np.float32(1), np.int64(2), float("nan")])
def test_numbers(value: Any) -> None:
    assert check_number("x", value) is None
    if isinstance(value, int | np.integer):
        assert check_number("x", value, whole=True) is None
    else:
        with pytest.raises(ConfigError, match="x must be a whole number; "):
            check_number("x", value, whole=True)


@pytest.mark.parametrize(("value", "kind"), [("1", "str"), (None, "NoneType"), (True, "bool"), ([1], "list")])
def test_what_is_none(value: Any, kind: str) -> None:
    """Caught: a truth value, which Python counts as a number."""
    for whole in (False, True):
        with pytest.raises(ConfigError, match=f"^x must be a.* number; .* came, a {kind}$"):
            check_number("x", value, whole=whole)
