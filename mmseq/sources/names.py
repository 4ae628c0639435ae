"""Names that nothing else may have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from mmseq.errors import DataError


def check_own_names(what: str, names: Iterable[str], then: str = "rename one") -> None:
    """Raises DataError where a name comes more than once, which says what has it, and what to do then."""
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise DataError(f"{what} must have a name of its own; {twice} come twice; {then}")
