"""Builds a store in an empty folder: the stages of preparation, in order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import duckdb
import numpy as np
from jaxtyping import Int64

from mmseq.sources import Recordings, Source
from mmseq.store.bounds import Bounds, find_bounds
from mmseq.store.check import check_rows
from mmseq.store.clock import Clock, clock_of
from mmseq.store.content import Content, content_of
from mmseq.store.cut import Ranges, cut
from mmseq.store.ingest import ingest
from mmseq.store.layout import GROUPS, IDS, ORIGINS, SPLITS, STEP_INDEX, index_file, shard_folder
from mmseq.store.manifest import (
    File,
    Manifest,
    RowsEntry,
    Shard,
    file_entry,
    payload_entry,
    write_manifest,
)
from mmseq.store.merge import Merger, Timelines
from mmseq.store.npy import write_npy
from mmseq.store.plan import SCHEMA, SECONDS, Plan
from mmseq.store.samples import Samples, collect_samples
from mmseq.store.stream import write_rows
from mmseq.store.timeline import bin_width
from mmseq.store.unfold import unfold
from mmseq.store.unread import unread_codes

Counts = dict[str, Int64[np.ndarray, "sample"]]


def build(
    connection: duckdb.DuckDBPyConnection, plan: Plan, source: Source, root: Path, *, shard_events: int,
    fingerprint: str,
) -> None:  # fmt: skip
    """Writes a whole store below `root`.

    Raises:
        DataError: the data break a rule.
    """
    raws = ingest(connection, plan, source)
    clock = clock_of(plan, raws)
    samples = collect_samples(connection, plan, source, raws, clock)
    unit = SECONDS[plan.unit]
    contents = {}
    for name, reading in [*plan.modalities.items(), *plan.tasks.items()]:
        raw = raws[reading.table]
        if isinstance(reading.payload, Recordings):
            contents[name] = unfold(connection, name, reading, raw, clock, unit, source.folder)
        else:
            contents[name] = content_of(connection, name, reading, raw, known=plan.known)
    modalities = {name: contents[name] for name in plan.modalities}
    tasks = {name: contents[name] for name in plan.tasks}
    width = bin_width(plan.resolution, unit, clock == "moment")
    bounds = find_bounds(connection, modalities, tasks, samples.until, plan.anchor, width)
    check_rows(connection, plan, contents, bounds)
    shards = cut(np.sum([bounds.counts[name] for name in modalities], axis=0), shard_events)
    for shard in range(len(shards)):
        shard_folder(root, shard).mkdir()
    counts: Counts = {}
    for name, content in contents.items():
        window = bounds.windows[name]
        counts[name], n_averaged = write_rows(
            connection, content, window, shards, root, samples.until.dtype, source.folder
        )
        bounds.report[name] |= {"averaged cells": n_averaged, **content.remarks}
    merger = Merger(
        {name: content for name, content in modalities.items() if content.time is not None},
        {name: content for name, content in tasks.items() if content.time is not None},
        plan.anchor, width, unit * 1e9 if clock == "moment" else None,
    )  # fmt: skip
    timelines = Timelines()
    for i, (first, stop) in enumerate(shards):
        merger.write(shard_folder(root, i), {name: n[first:stop] for name, n in counts.items()}, timelines)
    read_by_model = modalities if plan.known else {}
    unread = {name: unread_codes(connection, c, bounds.windows[name]) for name, c in read_by_model.items()}
    _finish(root, plan, samples, contents, counts, shards, timelines, bounds, unread, clock, fingerprint)


def _finish(
    root: Path, plan: Plan, samples: Samples, contents: Mapping[str, Content], counts: Counts, shards: Ranges,
    timelines: Timelines, bounds: Bounds, unread: Mapping[str, dict[str, int]], clock: Clock,
    fingerprint: str,
) -> None:  # fmt: skip
    """Writes what stands beside the shards, and the manifest last."""
    empty = np.zeros(0, np.int64)
    lengths = np.concatenate([empty, *timelines.lengths])
    beside = {IDS: samples.ids, GROUPS: samples.groups, SPLITS: samples.splits, STEP_INDEX: _starts(lengths)}
    if clock == "moment":
        beside[ORIGINS] = np.concatenate([empty, *timelines.origins])
    beside |= {index_file(name): _starts(n) for name, n in counts.items()}
    for name, array in beside.items():
        if array is not None:
            write_npy(root / name, array)
    entries = {
        name: RowsEntry(
            numbers=list(content.numbers),
            codes=list(content.reading.codes),
            vocabularies=[list(words) for words in content.vocabularies],
            dtype=content.dtype,
            timed=content.time is not None,
            n_rows=int(counts[name].sum()),
            shared_steps=name in timelines.shared,
            report=bounds.report[name],
            unread=unread.get(name, {}),
            payload=payload_entry(content.reading.payload),
        )
        for name, content in contents.items()
    }
    manifest = Manifest(
        schema_version=SCHEMA,
        fingerprint=fingerprint,
        plan=json.loads(json.dumps(asdict(plan))),
        clock=clock,
        unit=plan.unit,
        n_samples=len(samples.ids),
        n_steps=int(lengths.sum()),
        modalities={name: entries[name] for name in plan.modalities},
        tasks={name: entries[name] for name in plan.tasks},
        group_names=samples.group_names if samples.groups is not None else None,
        files={name: file_entry(root / name) for name, array in beside.items() if array is not None},
        shards=[
            Shard(first=first, stop=stop, n_steps=int(lengths[first:stop].sum()), files=_entries(root, i))
            for i, (first, stop) in enumerate(shards)
        ],
    )
    write_manifest(root, manifest)


def _entries(root: Path, shard: int) -> dict[str, File]:
    return {path.name: file_entry(path) for path in sorted(shard_folder(root, shard).iterdir())}


def _starts(counts: Int64[np.ndarray, "sample"]) -> Int64[np.ndarray, "bound"]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
