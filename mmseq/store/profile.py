"""What a store holds, in numbers that a person reads before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int64

from mmseq.store.read import CHUNK_ROWS, Store

Splits = Mapping[str, Int64[np.ndarray, "_"]]


def profile(store: Store, splits: Splits) -> dict[str, Any]:
    """Counts of samples, events, steps, missing values and labels; ready for JSON.

    Args:
        store: a finished one.
        splits: indices of the samples of each split.

    Returns:
        `splits`: samples and steps of each; `modalities`: events, events a sample, share of samples
        without any, share of missing values by column; `tasks`: by split, labels by class, or for
        numbers how many there are and their range. Everything that was dropped or averaged on the way
        into the store stands beside what it was taken from.
    """
    return {
        "splits": {name: _steps(store, samples) for name, samples in splits.items()},
        "modalities": {name: _modality(store, name) for name in store.modalities},
        "tasks": {
            name: {
                "remarks": store.entry(name).remarks,
                **{split: _labels(store, name, samples) for split, samples in splits.items()},
            }
            for name in store.tasks
        },
    }


def _steps(store: Store, samples: Int64[np.ndarray, "member"]) -> dict[str, Any]:
    return {"samples": len(samples), "steps": _spread(store.lengths[samples])}


def _modality(store: Store, name: str) -> dict[str, Any]:
    events = store.n_events(name)
    entry = store.entry(name)
    columns = (*entry.numbers, *entry.codes)
    missing, n_rows = np.zeros(len(columns), np.int64), 0
    chunks = store.chunks(name, np.arange(len(store))) if entry.payload is None else ()
    for chunk in chunks:  # a row without a payload is not there
        cells = [np.isnan(chunk["values"])] if entry.numbers else []
        cells += [chunk["code"] < 0] if entry.codes else []
        missing += np.concatenate(cells, axis=1).sum(0)
        n_rows += len(cells[0])
    return {
        "events": int(events.sum()),
        "events_per_sample": _spread(events),
        "samples_without": float((events == 0).mean()) if len(events) else 0.0,
        "missing": dict(zip(columns, (missing / max(1, n_rows)).tolist(), strict=True)),
        "remarks": entry.remarks,
    }


def _labels(store: Store, name: str, samples: Int64[np.ndarray, "member"]) -> dict[str, Any]:
    chunks = list(_chunks(store, name, samples))
    if vocabularies := store.vocabularies(name):
        code = np.concatenate([np.zeros(0, np.int64), *(chunk["code"][:, 0] for chunk in chunks)])
        counts = np.bincount(code[code >= 0].astype(np.int64), minlength=len(vocabularies[0]))
        return dict(zip(vocabularies[0], counts.tolist(), strict=True))
    columns = store.columns(name)
    values = np.concatenate([np.zeros((0, len(columns))), *(chunk["values"] for chunk in chunks)])
    return {column: _numbers(values[:, i]) for i, column in enumerate(columns)}


def _chunks(store: Store, name: str, samples: Int64[np.ndarray, "member"]) -> Iterator[dict[str, np.ndarray]]:
    for part in np.array_split(samples, max(1, int(store.n_events(name)[samples].sum()) // CHUNK_ROWS)):
        yield store.gather(part, [], [name]).targets[name].arrays


def _numbers(values: np.ndarray) -> dict[str, Any]:
    real = values[~np.isnan(values)]
    if not len(real):
        return {"labels": 0}
    return {
        "labels": len(real),
        "min": float(real.min()),
        "mean": float(real.mean()),
        "max": float(real.max()),
    }


def counted(reasons: Mapping[str, int]) -> str:
    """`3 after until, 1 of absent samples`."""
    return ", ".join(f"{n:,} {why}" for why, n in reasons.items())


def _spread(counts: Int64[np.ndarray, "sample"]) -> dict[str, Any]:
    if not len(counts):
        return {"sum": 0, "p50": 0, "p99": 0, "max": 0}
    p50, p99 = np.percentile(counts, [50, 99])
    return {"sum": int(counts.sum()), "p50": float(p50), "p99": float(p99), "max": int(counts.max())}
