"""Labels that a task cannot learn from: told before training, with the row where they stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import numpy as np
from jaxtyping import Int64

from mmseq.config.experiment import Experiment
from mmseq.data import source_of
from mmseq.errors import DataError
from mmseq.heads import heads
from mmseq.heads.labels import LabelError
from mmseq.sources import Reading, Source
from mmseq.store.ingest import Use, add_cells
from mmseq.store.locate import row_with
from mmseq.store.query import database
from mmseq.store.raw import Raw

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
        if task not in store.tasks:  # of values at a horizon, which the inputs hold: any row may have it
            raise
        config = experiment.tasks[task]
        reading = heads.component_class(config.kind).reading(config)
        assert reading is not None, "only labels of a table are refused"
        starts = store.gather(samples, [], [task]).targets[task].starts
        id = str(store.ids[samples[np.searchsorted(starts, error.row, side="right") - 1]])
        where = _where(source_of(experiment, data), task, reading, id, error)
        raise DataError(f"{where}, sample {id!r}: {error}") from error
    except DataError as error:  # of all labels together
        config = experiment.tasks[task]
        reading = heads.component_class(config.kind).reading(config) if task in store.tasks else None
        if reading is None:
            raise
        raise DataError(f"{_table(source_of(experiment, data), reading)}: {error}") from error


def _table(source: Source, reading: Reading) -> str:
    """The table; its name alone where the raw data cannot be asked any more."""
    with database() as connection:
        try:
            return source.table(connection, reading.table).where
        except (duckdb.Error, DataError):
            return reading.table


def _where(source: Source, task: str, reading: Reading, id: str, error: LabelError) -> str:
    """File and row; without the row where the raw data cannot be asked any more."""
    kind: Literal["code", "number"] = "code" if error.column in reading.codes else "number"
    uses = [Use("data.source.id", source.id, "id"), Use(f"task {task!r}", error.column, kind)]
    with database() as connection:
        try:
            raw = Raw("labels", source.table(connection, reading.table))
            add_cells(connection, source, raw, uses)
            row = row_with(connection, raw, id, error.column, error.came)
        except (duckdb.Error, DataError):
            return reading.table
    return f"{raw.table.where} {row}".strip()
