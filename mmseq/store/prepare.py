"""Raw data → a finished store: made once, then found again by its fingerprint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from mmseq.aside import aside, discard, sweep
from mmseq.disk import is_full, naming, sync, writing
from mmseq.errors import CheckpointError, ConfigError, DataError
from mmseq.sources import Source
from mmseq.store.build import build
from mmseq.store.layout import MANIFEST
from mmseq.store.locate import first_lines
from mmseq.store.manifest import REMEDY
from mmseq.store.plan import Plan, fingerprint, with_samples
from mmseq.store.query import database
from mmseq.store.read import Store


def prepare(
    plan: Plan,
    source: Source,
    folder: Path,
    *,
    memory_limit: str = "1GB",
    shard_events: int = 20_000_000,
) -> Store:
    """The store of this plan and these data, built unless it is there already.

    Args:
        plan: what it holds.
        source: the raw data.
        folder: holds stores; each stands in a folder named by its fingerprint.
        memory_limit: memory that DuckDB may use; the rest of preparation takes some 300 MB more.
        shard_events: events in a shard, about.

    Raises:
        DataError: the data break a rule; nothing is left behind.
        CheckpointError: a finished store was altered, or the disk is full, and nothing is left behind.
    """
    plan = with_samples(plan, source)
    name = fingerprint(plan, source)
    finished = folder / name
    sweep(folder)
    if not (finished / MANIFEST).is_file():
        with _building(finished) as root:
            with _connection(root, memory_limit) as connection:
                try:
                    build(connection, plan, source, root, shard_events=shard_events, fingerprint=name)
                except duckdb.OutOfMemoryException as error:
                    raise DataError(
                        f"data.memory_limit: {memory_limit} is too little; {first_lines(error)}; raise it"
                    ) from error
            _publish(root, finished)
    store = Store.open(finished)
    if (said := store.manifest.fingerprint) != name:
        raise CheckpointError(
            f"{finished}: must be the store that it is named after; it is {said[:100]!r}; {REMEDY}"
        )
    return store


@contextmanager
def _connection(root: Path, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that lives in memory and spills into the folder."""
    spill = root / "spill"
    with database() as connection:
        connection.execute("SET memory_limit = $1", [memory_limit])
        connection.execute("SET temp_directory = $1", [str(spill)])
        yield connection
    shutil.rmtree(spill, ignore_errors=True)


@contextmanager
def _building(finished: Path) -> Iterator[Path]:
    """A folder of our own beside the store's place, gone afterwards unless it was published."""
    folder = finished.parent
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"data.store: {folder} must be a folder that can be made; {error.strerror}; name another"
        ) from error
    try:
        with aside(finished) as root, _telling(root, finished):
            yield root
    finally:
        with suppress(OSError):  # not empty: there is a store
            for parent in missing:
                parent.rmdir()


@contextmanager
def _telling(root: Path, finished: Path) -> Iterator[None]:
    """What the disk refuses is told by the name that the file was to have."""
    try:
        yield
    except OSError as error:
        path = Path(str(error.filename or root))
        ours = path.is_relative_to(root)
        if not ours and not is_full(error):
            raise
        with writing(finished / path.relative_to(root) if ours else path):
            raise


def _publish(root: Path, finished: Path) -> None:
    """Has the disk hold every file, then gives the folder its name; the first of two preparations wins."""
    for path in [*root.rglob("*"), root]:
        with naming(path):
            sync(path)
    try:
        os.rename(root, finished)
    except OSError:
        if not finished.exists():
            raise
        if not (finished / MANIFEST).is_file():  # a store that somebody began to delete
            discard(finished)
            os.rename(root, finished)
    sync(finished.parent)
