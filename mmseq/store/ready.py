"""A store that another program has written, held to what an experiment asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from mmseq.errors import DataError
from mmseq.sources import Reading
from mmseq.store.layout import MANIFEST
from mmseq.store.manifest import Manifest, RowsEntry, payload_entry
from mmseq.store.plan import Plan
from mmseq.store.read import Store


def open_ready(path: Path, plan: Plan) -> Store:
    """The store in a folder, where it holds what the plan asks for.

    Raises:
        CheckpointError: it is not whole.
        DataError: it holds something else.
    """
    store = Store.open(path)
    for what, asked, came in _differences(store, plan):
        raise DataError(
            f"{path / MANIFEST}: {what} must be {asked}, as the configuration asks; it is {came}; write the "
            "store anew, correct the configuration, or leave data.prepared out"
        )
    return store


def _differences(store: Store, plan: Plan) -> Iterator[tuple[str, object, object]]:
    manifest: Manifest = store.manifest
    yield from _differing("unit", plan.unit, manifest.unit)
    for key in ("resolution", "anchor"):
        yield from _differing(f"plan.{key}", getattr(plan, key), manifest.plan.get(key))
    yield from _rows("modalities", plan.modalities, manifest.modalities)
    yield from _rows("tasks", plan.tasks, manifest.tasks)
    if plan.split is not None and store.splits is None:
        yield "files", "with splits.npy", "without"


def _rows(
    section: str, readings: Mapping[str, Reading], entries: Mapping[str, RowsEntry]
) -> Iterator[tuple[str, object, object]]:
    yield from _differing(section, sorted(readings), sorted(entries))
    for name, reading in readings.items():
        entry, place = entries[name], f"{section}.{name}"
        yield from _differing(f"{place}.timed", reading.timed, entry.timed)
        if reading.numbers or reading.pivot is None:  # else whatever codes there are become columns
            yield from _differing(f"{place}.numbers", list(reading.numbers), entry.numbers)
        yield from _differing(f"{place}.codes", list(reading.codes), entry.codes)
        yield from _differing(f"{place}.payload", payload_entry(reading.payload), entry.payload)


def _differing(what: str, asked: object, came: object) -> Iterator[tuple[str, object, object]]:
    if asked != came:
        yield what, asked, came
