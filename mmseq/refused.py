"""Labels that a task cannot learn from: told before training, with the row where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
from jaxtyping import Int64

from mmseq.config.experiment import Experiment
from mmseq.data import source_of
from mmseq.errors import DataError
from mmseq.heads.labels import LabelError
from mmseq.sources import Source
from mmseq.sources.files import text

if TYPE_CHECKING:
    from mmseq.store import Store


@contextmanager
def telling_where(
    experiment: Experiment, store: Store, task: str, samples: Int64[np.ndarray, "member"], data: Any = None
) -> Iterator[None]:
    """Errors about a label of these samples name its file and row.

    Args:
        experiment: says what the task reads.
        store: holds the samples.
        task: whose labels are read meanwhile.
        samples: those that `store.gather` is asked for.
        data: tables in memory, for a source of kind `memory`.
    """
    try:
        yield
    except LabelError as error:
        config = experiment.tasks[task]
        starts = store.gather(samples, [], [task]).targets[task].starts
        id = str(store.ids[samples[np.searchsorted(starts, error.row, side="right") - 1]])
        where = _where(source_of(experiment, data), getattr(config, "table", task), id, error)
        raise DataError(f"{where}: {error}") from error


def _where(source: Source, table_name: str, id: str, error: LabelError) -> str:
    """File, row and sample; without the row where the raw data cannot be asked any more."""
    quoted = f'CAST("{error.column.replace(chr(34), chr(34) * 2)}" AS VARCHAR)'
    if isinstance(error.came, str):
        is_it = f"trim({quoted}) = {text(error.came)}"
    else:
        is_it = f"TRY_CAST({quoted} AS FLOAT) = CAST({error.came!r} AS FLOAT)"
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")
        try:
            table = source.table(connection, table_name)
            is_sample = f'trim(CAST("{source.id}" AS VARCHAR)) = {text(id)}'
            query = f"SELECT mmseq_row FROM ({table.located}) WHERE {is_sample} AND {is_it} LIMIT 1"
            found: Any = connection.execute(query).fetchone()
        except (duckdb.Error, DataError):
            return f"{table_name}, sample {id!r}"
    row = f" {found[0]}" if found else ""
    return f"{table.where}{row}, sample {id!r}"
