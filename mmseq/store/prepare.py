"""Raw data → a finished store: made once, then found again by its fingerprint."""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from mmseq.disk import sync
from mmseq.errors import ConfigError, DataError
from mmseq.sources import Source
from mmseq.store.build import build
from mmseq.store.layout import MANIFEST
from mmseq.store.locate import first_lines
from mmseq.store.plan import Plan, fingerprint, with_samples
from mmseq.store.query import database
from mmseq.store.read import Store

BUILDING = ".building-"
LOCK = "lock"


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
        CheckpointError: a finished store was altered.
    """
    plan = with_samples(plan, source)
    name = fingerprint(plan, source)
    finished = folder / name
    if not (finished / MANIFEST).is_file():
        with _building(folder, name) as root:
            with _connection(root, memory_limit) as connection:
                try:
                    build(connection, plan, source, root, shard_events=shard_events, fingerprint=name)
                except duckdb.OutOfMemoryException as error:
                    raise DataError(
                        f"data.memory_limit: {memory_limit} is too little; {first_lines(error)}; raise it"
                    ) from error
            _publish(root, finished)
    return Store.open(finished)


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
def _building(folder: Path, name: str) -> Iterator[Path]:
    """A folder of our own, locked while we live, and gone afterwards unless it was published."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"data.store: {folder} must be a folder that can be made; {error.strerror}; name another"
        ) from error
    _sweep(folder)
    root = folder / f"{BUILDING}{name}-{uuid.uuid4().hex[:8]}"
    root.mkdir()
    with (root / "new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (root / "new").rename(root / LOCK)  # only now is it seen, and it is locked already
        try:
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)
            with suppress(OSError):  # another preparation may have put something there
                for parent in missing:
                    parent.rmdir()


def _sweep(folder: Path) -> None:
    """Removes what a killed preparation left: nobody holds its lock."""
    for root in folder.glob(f"{BUILDING}*"):
        with suppress(OSError), (root / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(root)


def _publish(root: Path, finished: Path) -> None:
    """Has the disk hold every file, then gives the folder its name; the first of two preparations wins."""
    (root / LOCK).unlink()
    for path in [*root.rglob("*"), root]:
        sync(path)
    try:
        os.rename(root, finished)
    except OSError:
        if not (finished / MANIFEST).is_file():
            raise
    sync(finished.parent)
