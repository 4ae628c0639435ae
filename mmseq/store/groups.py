"""What must not straddle splits: each sample is in exactly one group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NoReturn

import numpy as np
from duckdb import DuckDBPyConnection
from jaxtyping import Int32, Int64

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


@dataclass(frozen=True)
class Straddling:
    """A group that stands in two splits, with a sample in each.

    Attributes:
        group: its code.
        splits: their names.
        samples: one of each.
    """

    group: int
    splits: tuple[str, str]
    samples: tuple[int, int]

    def tell(self, name: str, ids: Sequence[str]) -> str:
        """What is wrong with the group of this name; `ids` are those of its two samples."""
        both = " and ".join(f"{split} (sample {id!r})" for split, id in zip(self.splits, ids, strict=True))
        return f"group {name!r} must stand in one split; it is in both {both}; move one of them"


def straddling(
    groups: Int32[np.ndarray, "sample"], splits: Mapping[str, Int64[np.ndarray, "_"]]
) -> Straddling | None:
    """The first group that stands in two of these splits, if any does."""
    for (first, some), (second, others) in combinations(splits.items(), 2):
        both = np.intersect1d(groups[some], groups[others])
        if len(both):
            members = (int(part[(groups[part] == both[0]).argmax()]) for part in (some, others))
            return Straddling(int(both[0]), (first, second), (next(members), next(members)))
    return None


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
