"""Rules on whole tables, checked on counts; rows are looked up only to tell about a broken one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from duckdb import DuckDBPyConnection

from mmseq.errors import DataError
from mmseq.store.bounds import Bounds
from mmseq.store.content import Content
from mmseq.store.locate import rows_of
from mmseq.store.plan import Plan
from mmseq.store.query import only_row


def check_rows(
    connection: DuckDBPyConnection, plan: Plan, contents: Mapping[str, Content], bounds: Bounds
) -> None:
    """Nothing is empty, nothing stands twice, no label is for a sample that does not exist.

    Raises:
        DataError: naming the rows.
    """
    for name, content in contents.items():
        if content.time is None and content.reading.pivot is None:
            _check_single(connection, content, bounds)
        if name in plan.tasks and plan.absent_labels == "error" and bounds.report[name]["of absent samples"]:
            _raise_absent(connection, content, bounds.report[name]["of absent samples"])
        if not plan.known and not bounds.counts[name].sum():
            _raise_empty(content, "label" if name in plan.tasks else "event", bounds.report[name])


def _check_single(connection: DuckDBPyConnection, content: Content, bounds: Bounds) -> None:
    twice = np.flatnonzero(bounds.counts[content.name] > 1)
    if not len(twice):
        return
    query = f"SELECT id FROM samples WHERE sample = {twice[0]}"
    (id,) = only_row(connection, query)
    raise DataError(
        f"{content.raw.table.where} {rows_of(connection, content.raw, id)}, column "
        f"{content.raw.cells['id'].column!r}: without a time column, "
        f"{content.name!r} has one row a sample; sample {id!r} has {bounds.counts[content.name][twice[0]]}; "
        "drop all but one, or name the `time` column"
    )


def _raise_absent(connection: DuckDBPyConnection, content: Content, count: int) -> None:
    raw = content.raw
    (id,) = only_row(
        connection,
        f"SELECT id FROM {raw.name} WHERE id NOT IN (SELECT id FROM samples) AND {content.condition} "
        "ORDER BY rowid LIMIT 1",
    )
    raise DataError(
        f"{raw.table.where} {rows_of(connection, raw, id, limit=1)}, column {raw.cells['id'].column!r}: "
        f"a label is for a sample that exists; {count} labels of task {content.name!r} are not, the first "
        f"for {id!r}; drop them, or set data.absent_labels: drop"
    )


def _raise_empty(content: Content, what: str, report: Mapping[str, int]) -> None:
    dropped = ", ".join(f"{count} {why}" for why, count in report.items() if count and why != "rows")
    raise DataError(
        f"{content.raw.table.where}: {content.name!r} needs at least one {what}; of {report['rows']} rows "
        f"none is left{f' ({dropped})' if dropped else ''}; check ids, times and data.until"
    )
