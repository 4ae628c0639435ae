"""What Python holds as a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from mmseq.errors import DataError
from mmseq.sources.memory import MemorySource

COLUMNS = {"id": ["a", "b"], "x": [1.5, None]}


def source_of(rows: Any) -> MemorySource:
    return MemorySource({"v": rows}, id="id", group=None)


@pytest.mark.parametrize(
    "rows",
    [
        COLUMNS,
        [{"id": "a", "x": 1.5}, {"id": "b"}],
        pandas.DataFrame(COLUMNS),
        pandas.DataFrame(COLUMNS, index=[7, 3]),
        polars.DataFrame(COLUMNS),
        pyarrow.table(COLUMNS),
        {"id": np.array(["a", "b"]), "x": np.array([1.5, np.nan])},
    ],
)
def test_forms(rows: Any) -> None:
    assert source_of(rows).tables["v"].to_pydict() == COLUMNS


@pytest.mark.parametrize("unit", ["Y", "M", "h", "m", "s", "ns"])
def test_moments_of_every_unit(unit: str) -> None:
    """Caught: hours of NumPy, which Arrow has not, became text and were refused as a time."""
    times = np.array(["2024-01-01", "NaT"], f"datetime64[{unit}]")
    moments = source_of({"id": ["a", "b"], "t": times}).tables["v"].column("t")
    assert pyarrow.types.is_timestamp(moments.type)
    assert [None if m is None else str(m)[:19] for m in moments.to_pylist()] == ["2024-01-01 00:00:00", None]


@pytest.mark.parametrize("unit", ["ps", "fs", "100ms", "2s"])
def test_units_that_arrow_has_not_keep_their_time(unit: str) -> None:
    """Caught: 100 ms were read as 1 ms, 56 years off; of picoseconds whole seconds were left."""
    times = np.array(["1970-01-01T00:00:02.5"], "datetime64[ms]").astype(f"datetime64[{unit}]")
    (moment,) = source_of({"id": ["a"], "t": times}).tables["v"].column("t").to_numpy()
    assert moment == times[0]


def test_tensors_are_columns() -> None:
    """Caught: text such as `tensor(1)`, which as an id was taken."""
    tables = source_of({"id": torch.arange(2), "x": torch.tensor([1.5, torch.nan])}).tables["v"]
    assert tables.to_pydict() == {"id": [0, 1], "x": [1.5, None]}
    with pytest.raises(DataError, match=r"table 'v', column 'x': needs an array, .*requires grad"):
        source_of({"id": [0], "x": torch.ones(1, requires_grad=True)})


def test_fingerprint_follows_the_contents() -> None:
    first = source_of(COLUMNS).fingerprint(["v"])
    assert source_of(dict(COLUMNS)).fingerprint(["v"]) == first
    others = [
        {"id": ["a", "b"], "x": [1.5, 2.0]},
        {"id": ["b", "a"], "x": [1.5, None]},
        {"id": ["a", "b"], "y": [1.5, None]},
        {"id": ["a"], "x": [1.5]},
    ]
    assert len({first, *(source_of(rows).fingerprint(["v"]) for rows in others)}) == 5


def test_a_part_of_a_table_counts_as_its_own() -> None:
    whole = pyarrow.table({"id": list(range(100)), "x": np.arange(100.0)})
    part = pyarrow.table({"id": list(range(10, 20)), "x": np.arange(10.0, 20.0)})
    assert source_of(whole.slice(10, 10)).fingerprint(["v"]) == source_of(part).fingerprint(["v"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (3, "table 'v': needs a DataFrame, an Arrow table, a list of dicts or a dict of columns; int came"),
        ([{"id": 1}, 2], "table 'v' row 2: needs a dict; int came"),
        ({"id": [1], "x": [1, 2]}, "table 'v': columns must be of one length"),
        (
            {"id": [1], "x": np.ones((1, 2))},
            "table 'v', column 'x': needs one value a row; shape (1, 2)",
        ),
    ],
)
def test_what_is_no_table(rows: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        source_of(rows)
    assert message in str(caught.value)


def test_records_must_be_dicts() -> None:
    with pytest.raises(DataError, match="record 2: needs a dict; int came"):
        MemorySource([{"id": 1}, 2], id="id", group=None)  # type: ignore[list-item]
    with pytest.raises(DataError, match="record 1, field 'v': a table is a list of dicts"):
        MemorySource([{"id": 1, "v": [1]}], id="id", group=None)
