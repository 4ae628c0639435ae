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
from mmseq.errors import ConfigError, DataError
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
    except DataError as error:
        if task not in store.tasks:  # of values at a horizon, which the inputs hold: any row may have it
            raise
        config = experiment.tasks[task]
        reading = heads.component_class(config.kind).reading(config)
        assert reading is not None, "only labels of a table are in the store"
        id = _sample(store, task, samples, error) if isinstance(error, LabelError) else None
        try:
            where = _where(source_of(experiment, data), task, reading, id, error)
        except (duckdb.Error, ConfigError, DataError):  # the raw data cannot be asked any more
            where = reading.table
        raise DataError(f"{where}{'' if id is None else f', sample {id!r}'}: {error}") from error


def _sample(store: Store, task: str, samples: Int64[np.ndarray, "member"], error: LabelError) -> str:
    starts = store.gather(samples, [], [task]).targets[task].starts
    return str(store.ids[samples[np.searchsorted(starts, error.row, side="right") - 1]])


def _where(source: Source, task: str, reading: Reading, id: str | None, error: DataError) -> str:
    """The file; also the row, where the error is about one label of a sample."""
    with database() as connection:
        raw = Raw("labels", source.table(connection, reading.table))
        if id is None or not isinstance(error, LabelError):  # about all of them
            return raw.table.where
        kind: Literal["code", "number"] = "code" if error.column in reading.codes else "number"
        uses = [Use("data.source.id", source.id, "id"), Use(f"task {task!r}", error.column, kind)]
        add_cells(connection, source, raw, uses)
        return f"{raw.table.where} {row_with(connection, raw, id, error.column, error.came)}".strip()
