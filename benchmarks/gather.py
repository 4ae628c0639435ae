"""Assembling a batch: `Store.gather` against lists with `pad_sequence`, and against a plain numpy gather.

    python benchmarks/gather.py            64 samples of lognormal length, 5 modalities

Prints one JSON line. The three sides take turns in one process on one thread, on the same samples; a
figure is the median of many turns. A plain gather is what it costs to take the same rows out of the
same arrays, all in memory, with one ready index an array: the floor for any way of assembling batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import torch
from torch.nn.utils.rnn import pad_sequence

from mmseq.sources import Reading
from mmseq.sources.memory import MemorySource
from mmseq.store import Plan, Store, prepare
from mmseq.store.layout import STEP_INDEX, index_file

MODALITIES = {"vitals": 8, "labs": 20, "weather": 6, "motion": 3, "drugs": 1}  # columns of each
Side = Callable[[np.ndarray], object]


def main() -> None:
    """Builds a store, lets the sides take turns, prints their medians."""
    arguments = _arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = build(Path(folder), arguments.samples, arguments.shard_events)
        sides = {"store": store.gather, "lists": Lists(store), "plain": Plain(store)}
        seconds = take_turns(sides, len(store), arguments.batch, arguments.turns)
    print(
        json.dumps(
            {
                "batch": arguments.batch,
                "modalities": len(MODALITIES),
                "samples": arguments.samples,
                "shards": len(store.manifest.shards),
                **{f"{name}_ms": round(1e3 * value, 3) for name, value in seconds.items()},
                "against_lists": round(seconds["store"] / seconds["lists"], 3),
                "against_plain": round(seconds["store"] / seconds["plain"], 3),
            }
        )
    )


def build(folder: Path, n_samples: int, shard_events: int) -> Store:
    """Each modality on its own clock, lengths lognormal with median 94, together."""
    rng = np.random.default_rng(0)
    tables = {}
    for name, n_columns in MODALITIES.items():
        lengths = np.ceil(rng.lognormal(np.log(94 / len(MODALITIES)), 1.0, n_samples)).astype(np.int64)
        sample = np.repeat(np.arange(n_samples), lengths)
        columns = {f"{name}_{i}": rng.normal(size=len(sample)) for i in range(n_columns)}
        if name == "drugs":
            columns = {"drugs_0": rng.integers(0, 300, len(sample))}
        tables[name] = pyarrow.table({"id": sample, "t": rng.random(len(sample)) * 100, **columns})
    tables["label"] = pyarrow.table({"id": np.arange(n_samples), "y": rng.random(n_samples)})
    plan = Plan(
        {
            name: Reading(name, "t", **{"codes" if name == "drugs" else "numbers": _names(name, n)})
            for name, n in MODALITIES.items()
        },
        {"y": Reading("label", numbers=("y",))},
    )
    return prepare(plan, MemorySource(tables, id="id", group=None), folder, shard_events=shard_events)


def _names(name: str, n_columns: int) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(n_columns))


class Lists:
    """What most code does: a tensor for each sample and modality, padded together."""

    def __init__(self, store: Store) -> None:
        whole = store.gather(np.arange(len(store)))
        self.time = _tensors(whole.time, whole.starts)
        self.rows = {
            name: [_tensors(array, rows.starts) for array in rows.arrays.values()]
            + [_tensors(rows.step - np.repeat(whole.starts[:-1], np.diff(rows.starts)), rows.starts)]
            for name, rows in whole.events.items()
        }
        self.label = torch.from_numpy(whole.targets["y"].arrays["values"])

    def __call__(self, samples: np.ndarray) -> object:
        picked = samples.tolist()
        padded = [_pad(parts, picked) for parts in [[self.time], *self.rows.values()]]
        return padded, self.label[picked]


def _pad(parts: list[list[torch.Tensor]], picked: list[int]) -> tuple[list[torch.Tensor], torch.Tensor]:
    lengths = torch.tensor([len(parts[0][i]) for i in picked])
    padded = [pad_sequence([part[i] for i in picked], batch_first=True) for part in parts]
    return padded, torch.arange(padded[0].shape[1]) < lengths[:, None]


def _tensors(array: np.ndarray, starts: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(part.copy()) for part in np.split(array, starts[1:-1])]


class Plain:
    """The same rows of the same arrays, whole and in memory: an index, then one take for each array."""

    def __init__(self, store: Store) -> None:
        whole = store.gather(np.arange(len(store)))
        self.arrays = [(store.index(STEP_INDEX).copy(), [whole.time])]
        for name, rows in [*whole.events.items(), *whole.targets.items()]:
            steps = [rows.step.astype(np.int32)] if store.entry(name).timed else []
            self.arrays.append((store.index(index_file(name)).copy(), [*rows.arrays.values(), *steps]))

    def __call__(self, samples: np.ndarray) -> object:
        return [part for starts, arrays in self.arrays for part in _take(samples, starts, arrays)]


def _take(samples: np.ndarray, starts: np.ndarray, arrays: list[np.ndarray]) -> list[np.ndarray]:
    first = starts[samples]
    counts = starts[samples + 1] - first
    stops = np.cumsum(counts)
    index = np.repeat(first - stops + counts, counts) + np.arange(stops[-1])
    return [array.take(index, axis=0) for array in arrays]


def take_turns(sides: dict[str, Side], n_samples: int, batch: int, turns: int) -> dict[str, float]:
    """Median seconds of each side."""
    rng = np.random.default_rng(1)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 2):
        samples = rng.permutation(n_samples)[:batch]
        for name, side in sides.items():
            start = time.perf_counter()
            side(samples)
            if turn >= 2:  # the first ones check the shards and warm the caches
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--shard-events", type=int, default=20_000_000)
    parser.add_argument("--turns", type=int, default=200)
    return parser.parse_args()


if __name__ == "__main__":
    main()
