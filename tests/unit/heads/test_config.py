from __future__ import annotations

import pytest
from pydantic import ValidationError

from mmseq.heads import heads


def test_column_or_columns() -> None:
    assert heads.parse({"kind": "regression", "table": "t", "column": "y"}).names == ("y",)
    assert heads.parse({"kind": "multilabel", "table": "t", "columns": ["a", "b"]}).names == ("a", "b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs either `column` or `columns`"),
        ({"column": "y", "columns": ["y"]}, "needs either `column` or `columns`"),
        ({"columns": ["y", "z", "y"]}, "each may be named once; got y, z, y"),
        ({"columns": []}, "at least 1 item"),
    ],
)
def test_columns_given_wrongly(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        heads.parse({"kind": "regression", "table": "t", **given})


def test_labels_of_steps_read_the_core() -> None:
    assert not heads.parse({"kind": "classification", "table": "t", "column": "y"}).by_step
    assert heads.parse({"kind": "classification", "table": "t", "column": "y", "time": "hour"}).by_step
    assert heads.parse({"kind": "next_step", "modality": "m"}).by_step
