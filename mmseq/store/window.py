"""Between which times a sample's rows count; the SQL that selects them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow
from duckdb import DuckDBPyConnection
from jaxtyping import Int64, Num

from mmseq.store.content import Content

Bound = Num[np.ndarray, "sample"]


@dataclass(frozen=True)
class Window:
    """A table `(id, sample, low, high)`: rows of a sample count from `low` to `high`, both included.

    Attributes:
        name: of the table.
    """

    name: str

    @classmethod
    def create(cls, connection: DuckDBPyConnection, name: str, low: Bound, high: Bound) -> Window:
        bounds = pyarrow.table({"sample": np.arange(len(low)), "low": low, "high": high})
        connection.register("bounds", bounds)
        connection.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT id, samples.sample, low, high "
            "FROM samples JOIN bounds ON samples.sample = bounds.sample"
        )
        connection.unregister("bounds")
        return cls(name)

    def rows(self, content: Content, join: Literal["JOIN", "LEFT JOIN"] = "JOIN") -> str:
        """FROM … WHERE …: the rows of known samples (LEFT JOIN: of all), inside the window or not."""
        raw = content.raw.name
        return f"FROM {raw} {join} {self.name} ON {raw}.id = {self.name}.id WHERE {content.condition}"

    def inside(self, content: Content) -> str:
        """SQL that is true for rows inside."""
        return "true" if content.time is None else f"{content.time} BETWEEN low AND high"


@dataclass(frozen=True)
class Span:
    """What is inside a window, per sample.

    Attributes:
        counts: rows inside.
        first, last: their first and last time; meaningless where there is none.
        n_rows: all rows of the table that meet its condition.
        n_present: those of known samples.
    """

    counts: Int64[np.ndarray, "sample"]
    first: Bound
    last: Bound
    n_rows: int
    n_present: int

    @property
    def n_inside(self) -> int:
        return int(self.counts.sum())


def span_of(connection: DuckDBPyConnection, content: Content, window: Window, like: Bound) -> Span:
    """Counts rows; `like` tells the number of samples and the dtype of times."""
    inside, time = window.inside(content), content.time or "0"
    found = connection.execute(
        f"SELECT sample, count(*) FILTER ({inside}) AS n, count(*) AS present, "
        f"coalesce(min({time}) FILTER ({inside}), 0) AS first, "
        f"coalesce(max({time}) FILTER ({inside}), 0) AS last "
        f"{window.rows(content, 'LEFT JOIN')} GROUP BY sample"
    ).fetchnumpy()
    known = ~np.ma.getmaskarray(found["sample"])
    sample = np.ma.getdata(found["sample"])[known]
    counts, first, last = np.zeros(len(like), np.int64), np.zeros_like(like), np.zeros_like(like)
    for array, name in ((counts, "n"), (first, "first"), (last, "last")):
        array[sample] = found[name][known]
    return Span(counts, first, last, int(found["present"].sum()), int(found["present"][known].sum()))
