"""Names that nothing else may have."""

from __future__ import annotations

import pytest

from mmseq.errors import DataError
from mmseq.sources.names import check_own_names


def test_names_that_come_twice_are_told() -> None:
    """Caught: a name that comes three times passed over; names of one told as of another."""
    check_own_names("t.parquet: a column", ["a", "A", "b"])
    told = r"^t: a column must have a name of its own; \['a', 'c'\] come twice; x$"
    with pytest.raises(DataError, match=told):
        check_own_names("t: a column", iter("cbaaca"), "x")
