"""Whether the numbers in a store's files can be what they stand for: digests alone do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32, Int64, Shaped

from mmseq.errors import CheckpointError
from mmseq.store.form import rows_of
from mmseq.store.layout import STEP_TIME, row_file
from mmseq.store.manifest import REMEDY, Manifest, RowsEntry
from mmseq.store.payload import ENDS, PART

Bounds = Int64[np.ndarray, "bound"]


def check_manifest(path: Path, manifest: Manifest) -> None:
    """The shards divide the samples, and codes have words. Raises CheckpointError where not."""
    bounds = [0, *(shard.stop for shard in manifest.shards)]
    firsts = [shard.first for shard in manifest.shards]
    steps = [shard.n_steps for shard in manifest.shards]
    divided = firsts == bounds[:-1] and bounds == sorted(bounds) and bounds[-1] == manifest.n_samples
    if not divided or min(steps, default=0) < 0 or sum(steps) != manifest.n_steps:
        _refuse(path, "its shards must divide the samples and their steps; they do not")
    for name, entry in rows_of(manifest).items():
        if len(entry.vocabularies) != len(entry.codes):
            _refuse(path, f"{name[:100]!r} must have a vocabulary for each of its code columns; it has not")


def check_bounds(path: Path, bounds: Bounds, n_rows: int) -> None:
    """First rows of samples rise from 0 to the number of rows. Raises CheckpointError where they do not."""
    if bounds[0] != 0 or bounds[-1] != n_rows or (np.diff(bounds) < 0).any():
        _refuse(path, f"must rise from 0 to {n_rows} rows; it does not")


def check_codes(path: Path, code: Int32[np.ndarray, "*row_column"], n_words: int, first: int = 0) -> None:
    """Codes are from `first` to the number of words. Raises CheckpointError where one is not."""
    if code.size and not (code.min() >= first and code.max() < n_words):
        _refuse(path, f"its codes must be from {first} to {n_words - 1}; one is not")


def check_text(path: Path, texts: Shaped[np.ndarray, "sample"]) -> None:
    """Characters are such. Raises CheckpointError where one is not."""
    points = np.ascontiguousarray(texts).view(np.uint32)
    if ((points > 0x10FFFF) | ((points >= 0xD800) & (points < 0xE000))).any():
        _refuse(path, "must hold text; something else came")


def check_shard(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    steps: Bounds,
    rows: Mapping[str, tuple[RowsEntry, Bounds]],
) -> None:
    """Times rise, steps exist, codes have a word. Raises CheckpointError naming the file where not.

    Args:
        folder: of the shard.
        arrays: by file.
        steps: first step of each of its samples, counted within the shard.
        rows: of each modality and task, what the manifest says, and first row of each sample.
    """
    _check_times(folder / STEP_TIME, arrays[STEP_TIME], steps)
    lengths = np.diff(steps)
    for name, (entry, bounds) in rows.items():
        if entry.timed:
            file = row_file(name, "step")
            _check_steps(folder / file, arrays[file], bounds, lengths)
        if entry.payload is not None and entry.payload.shape is None:
            file = row_file(name, ENDS)
            _check_ends(folder / file, arrays[file], len(arrays[row_file(name, PART)]))
        if entry.codes:
            file = row_file(name, "code")
            for column, words in enumerate(entry.vocabularies):
                check_codes(folder / file, arrays[file][:, column], len(words), first=-1)


def _check_ends(path: Path, ends: Int64[np.ndarray, "row"], n_elements: int) -> None:
    bounds = np.concatenate([np.zeros(1, np.int64), ends])
    if bounds[-1] != n_elements or (bounds[1:] < bounds[:-1]).any():
        _refuse(path, f"must rise to the {n_elements} elements of its payload; it does not")


def _check_times(path: Path, time: Float64[np.ndarray, "step"], starts: Bounds) -> None:
    if not (np.isfinite(time).all() and _rises(time, starts)):
        _refuse(path, "times must be finite, and rise within a sample; they do not")


def _check_steps(
    path: Path, step: Int32[np.ndarray, "row"], starts: Bounds, lengths: Int64[np.ndarray, "sample"]
) -> None:
    some = starts[1:] > starts[:-1]
    first, last = step[starts[:-1][some]], step[starts[1:][some] - 1]
    if (first < 0).any() or (last >= lengths[some]).any() or not _rises(step, starts):
        _refuse(path, "steps must be those of the sample, and rise within it; they do not")


def _rises(values: np.ndarray, starts: Bounds) -> bool:
    falls = np.flatnonzero(values[1:] < values[:-1]) + 1
    return bool(np.isin(falls, starts).all())


def _refuse(path: Path, problem: str) -> None:
    raise CheckpointError(f"{path}: {problem}; {REMEDY}")
