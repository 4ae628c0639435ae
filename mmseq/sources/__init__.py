"""Sources: where raw data come from, as tables that DuckDB can read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow
from duckdb import DuckDBPyConnection

from mmseq.errors import DataError
from mmseq.registry import ComponentConfig, Registry
from mmseq.sources.payload import BadCell, Payload
from mmseq.sources.recordings import Recordings

__all__ = [
    "AbsentTable",
    "BadCell",
    "Payload",
    "Pivot",
    "Reading",
    "Recordings",
    "Source",
    "SourceConfig",
    "Table",
    "sources",
]


class SourceConfig(ComponentConfig):
    """Base of every source's config."""


@dataclass(frozen=True)
class Pivot:
    """A long table of (code, value) rows, each code a feature of its own.

    Attributes:
        code: column that says which feature a row holds.
        value: column with its number.
    """

    code: str
    value: str


@dataclass(frozen=True)
class Reading:
    """What a modality or a task reads from one table.

    Attributes:
        table: name of the table in the source.
        time: its time column; None where rows belong to a whole sample. Of recordings, the column of when
            each begins; None where all begin at 0.
        numbers: columns of numbers; with `pivot`, the codes that become features (empty: all there are).
        codes: columns of categories, read as text.
        pivot: how a long table becomes one row per (sample, time).
        payload: a column of text, pixels, sound or vectors; a row that lacks it is not there.
    """

    table: str
    time: str | None = None
    numbers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    pivot: Pivot | None = None
    payload: Payload | None = None

    @property
    def timed(self) -> bool:
        """Whether its rows in the store have times: windows of recordings always do."""
        return self.time is not None or isinstance(self.payload, Recordings)


@dataclass(frozen=True)
class Table:
    """One table of a source.

    Attributes:
        sql: a DuckDB query or view that gives its rows, every column as read.
        where: what to call it in an error: a file's path, or a name.
        columns: its columns.
        located: a query that gives the same rows in the same order, with one more column,
            `mmseq_row`: text that tells a user where the row stands, such as `row 17`.
        broken: looks for the first row that breaks the format of the file, to tell a user whose table
            cannot be read: `row 17: …`; None where it finds none.
        is_json: columns are text out of JSON, where a list or an object may stand, as its text.
        moments: gives those of its columns that hold dates with times, as they are kept: DuckDB tells them in
            UTC, and to the microsecond; None where there are none.
    """

    sql: str
    where: str
    columns: tuple[str, ...]
    located: str
    broken: Callable[[], str | None] | None = None
    is_json: bool = False
    moments: Callable[[], pyarrow.Table] | None = None


class AbsentTable(DataError):
    """There is no table of that name."""


class Source(ABC):
    """Raw data as named tables, each with the column that tells samples apart.

    Attributes:
        id: name of the sample id column, the same in every table.
        group: column (of the table `samples`, or of any table that has it) that must not straddle splits.
        missing: what stands for a missing value where a cell is text.
        samples: a table with one row a sample, where the source has one of its own accord.
        place: its config's field that says where the data are; None: they come from Python.
        place_is_folder: a file there is an error.
        markers: where a user lists what stands for missing, to be told; None: nowhere.
        open_world: a table or column that is nowhere to be seen may just have no value in these data.
        folder: that the paths in cells are relative to.
    """

    id: str
    group: str | None
    missing: Sequence[str] = ("",)
    samples: str | None = None
    place: ClassVar[str | None] = None
    place_is_folder: ClassVar[bool] = False
    markers: ClassVar[str | None] = None
    open_world: bool = False
    folder: Path = Path()

    @abstractmethod
    def table(self, connection: DuckDBPyConnection, name: str) -> Table:
        """Opens a table. Raises AbsentTable where there is none of that name."""

    @abstractmethod
    def fingerprint(self, names: list[str]) -> str:
        """Changes whenever the contents of the named tables do; a table that is absent counts too."""


sources: Registry[Source] = Registry("sources", SourceConfig)
