"""What must not straddle splits: each sample is in exactly one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
from duckdb import DuckDBPyConnection
from jaxtyping import Int32

from mmseq.errors import DataError
from mmseq.sources import Source
from mmseq.store.locate import rows_of
from mmseq.store.raw import Raw


def collect_groups(
    connection: DuckDBPyConnection, source: Source, raws: Mapping[str, Raw]
) -> tuple[Int32[np.ndarray, "sample"] | None, list[str]]:
    """Each sample's group as a code, and the groups' names; (None, []) where none are configured.

    Raises:
        DataError: a sample has no group, or several.
    """
    having = [raw for raw in raws.values() if any(_is_group(source, raw, name) for name in raw.cells)]
    if source.group is None or not having:  # new data for a model need no groups
        return None, []
    pairs = " UNION ".join(
        f"SELECT DISTINCT id, {raw.find(source.group, 'code')} AS name FROM {raw.name}" for raw in having
    )
    found = connection.execute(
        "SELECT samples.id, count(name), count(*), min(name), max(name) FROM samples "
        f"LEFT JOIN ({pairs}) pairs ON samples.id = pairs.id GROUP BY ALL ORDER BY min(samples.sample)"
    ).fetchall()
    for id, n_names, n_rows, first, last in found:
        if n_names != 1 or n_rows != 1:
            _raise(connection, source.group, having, id, [first, last] if n_names > 1 else [first])
    names, codes = np.unique(np.array([row[3] for row in found]), return_inverse=True)
    return codes.astype(np.int32), [str(name) for name in names]


def _is_group(source: Source, raw: Raw, name: str) -> bool:
    return raw.cells[name].column == source.group and raw.cells[name].kind == "code"


def _raise(
    connection: DuckDBPyConnection, group: str, having: Sequence[Raw], id: str, names: list[str | None]
) -> NoReturn:
    places = [f"{raw.table.where} {rows}" for raw in having if (rows := rows_of(connection, raw, id))]
    came = " and ".join(map(repr, names)) if len(names) > 1 else "none, at least in one row"
    raise DataError(
        f"{'; '.join(places) or having[0].table.where}, column {group!r}: every sample is in one group; "
        f"sample {id!r} has {came}; correct it"
    )
