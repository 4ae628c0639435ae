"""Which samples there are, in which order, and what is known of each as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from duckdb import DuckDBPyConnection
from jaxtyping import Int32, Num, Shaped

from mmseq.config.splits import SPLITS
from mmseq.errors import DataError
from mmseq.registry import did_you_mean
from mmseq.sources import Source
from mmseq.sources.files import text
from mmseq.store.clock import Clock
from mmseq.store.groups import Straddling, collect_groups, straddling
from mmseq.store.locate import rows_of
from mmseq.store.plan import Plan
from mmseq.store.query import first_column, first_row, only_row
from mmseq.store.raw import Raw


@dataclass(frozen=True)
class Samples:
    """What is known of each sample as a whole.

    Attributes:
        ids: as text.
        until: its last time, absolute; the largest number where there is no limit.
        splits: train, validation or test; None where no column says so.
        groups: codes into `group_names`; None where no column says so.
        group_names: in order.
    """

    ids: Shaped[np.ndarray, "sample"]
    until: Num[np.ndarray, "sample"]
    splits: Shaped[np.ndarray, "sample"] | None
    groups: Int32[np.ndarray, "sample"] | None
    group_names: list[str]


def collect_samples(
    connection: DuckDBPyConnection, plan: Plan, source: Source, raws: Mapping[str, Raw], clock: Clock
) -> Samples:
    """Makes the table `samples (id, sample)` and reads what is known of each.

    Raises:
        DataError: an id comes twice, a split is not one, a sample has no group or several, or a group
            stands in two splits.
    """
    if plan.samples is None:
        tables = dict.fromkeys(raws[reading.table].name for reading in plan.modalities.values())
        union = " UNION ".join(f"SELECT DISTINCT id FROM {name}" for name in tables)
        connection.execute(f"CREATE TABLE ids AS {union}")
        rows, order = "SELECT id FROM ids", ordered(connection, "ids", "id")
    else:
        raw = raws[plan.samples]
        _check_unique(connection, raw)
        rows, order = f"SELECT id, rowid AS place FROM {raw.name}", "place"
    connection.execute(
        f"CREATE TABLE samples AS SELECT id, (row_number() OVER (ORDER BY {order}) - 1)::INTEGER AS sample "
        f"FROM ({rows}) ORDER BY sample"
    )
    names = first_column(connection, "SELECT id FROM samples ORDER BY sample")
    groups, group_names = collect_groups(connection, source, raws)
    ids, splits = np.array(names, dtype=np.str_), _splits(connection, plan, raws)
    if groups is not None and splits is not None:
        found = straddling(groups, {name: np.flatnonzero(splits == name) for name in SPLITS})
        if found is not None:
            _raise_straddling(connection, plan, raws, found, ids[list(found.samples)].tolist(), group_names)
    until = _until(connection, plan, raws, clock, len(names))
    return Samples(ids, until, splits, groups, group_names)


def _raise_straddling(
    connection: DuckDBPyConnection,
    plan: Plan,
    raws: Mapping[str, Raw],
    found: Straddling,
    ids: Sequence[str],
    group_names: Sequence[str],
) -> NoReturn:
    raw = raws[str(plan.samples)]
    rows = " and ".join(rows_of(connection, raw, id, limit=1) for id in ids)
    told = found.tell(group_names[found.group], ids)
    raise DataError(f"{raw.table.where} {rows}, column {plan.split!r}: {told}")


def ordered(connection: DuckDBPyConnection, table: str, column: str) -> str:
    """ORDER BY for the words of a table (or a query in brackets): by number where all are numbers."""
    query = f"SELECT count({column}) = count(TRY_CAST({column} AS DOUBLE)) FROM {table}"
    numeric = only_row(connection, query) == (True,)
    return f"CAST({column} AS DOUBLE), {column}" if numeric else column


def _check_unique(connection: DuckDBPyConnection, raw: Raw) -> None:
    twice = first_row(
        connection, f"SELECT id FROM {raw.name} GROUP BY id HAVING count(*) > 1 ORDER BY min(rowid) LIMIT 1"
    )
    if twice is not None:
        raise DataError(
            f"{raw.table.where} {rows_of(connection, raw, twice[0])}, column {raw.cells['id'].column!r}: "
            f"the table of samples has one row a sample; {twice[0]!r} comes twice; drop one"
        )


def _until(
    connection: DuckDBPyConnection, plan: Plan, raws: Mapping[str, Raw], clock: Clock, n_samples: int
) -> Num[np.ndarray, "sample"]:
    no_limit = np.array(np.iinfo(np.int64).max if clock == "moment" else np.inf)
    if plan.until_column is None:
        return np.full(n_samples, no_limit if plan.until is None else _constant(connection, plan, clock))
    raw = raws[str(plan.samples)]
    column = raw.last(plan.until_column)
    last = connection.execute(f"SELECT {column} AS last FROM {raw.name} ORDER BY rowid").fetchnumpy()["last"]
    missing = np.ma.getmaskarray(last) | np.isnan(np.ma.getdata(last).astype(np.float64))
    right = raw.cells[column].kind == ("last moment" if clock == "moment" else "last clock")
    if not right and not missing.all():
        raise DataError(
            f"{raw.table.where}, column {plan.until_column!r}: a last time is a {clock}, as the events' "
            "times are; it is not; convert one of them"
        )
    until = np.full(n_samples, no_limit)
    until[~missing] = last[~missing]
    return until


def _constant(connection: DuckDBPyConnection, plan: Plan, clock: Clock) -> Num[np.ndarray, ""]:
    sort = "moment" if isinstance(plan.until, str) else "number"
    if sort != clock:
        raise DataError(
            f"data.until: a last time is a {clock}, as the events' times are; {plan.until!r} came, a {sort}; "
            "give it as they are"
        )
    if sort == "number":
        return np.array(plan.until, np.float64)
    query = f"SELECT epoch_ns(TRY_CAST({text(plan.until)} AS TIMESTAMPTZ))"
    (moment,) = only_row(connection, query)
    if moment is None:
        raise DataError(f"data.until: needs a date and time; {plan.until!r} is none; correct it")
    return np.array(moment, np.int64)


def _splits(
    connection: DuckDBPyConnection, plan: Plan, raws: Mapping[str, Raw]
) -> Shaped[np.ndarray, "sample"] | None:
    if plan.split is None:
        return None
    raw = raws[str(plan.samples)]
    column = raw.find(plan.split, "code")
    words = ", ".join(map(text, SPLITS))
    bad = first_row(
        connection,
        f"SELECT id, {column} FROM {raw.name} WHERE coalesce({column} NOT IN ({words}), true) "
        "ORDER BY rowid LIMIT 1",
    )
    if bad is not None:
        raise DataError(
            f"{raw.table.where} {rows_of(connection, raw, bad[0])}, column {plan.split!r}: a split is one of "
            f"{', '.join(SPLITS)}; {bad[1] or 'nothing'} came{did_you_mean(bad[1] or '', SPLITS)}"
        )
    return np.array(first_column(connection, f"SELECT {column} FROM {raw.name} ORDER BY rowid"), dtype="<U10")
