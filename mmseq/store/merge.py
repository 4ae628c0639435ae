"""The absolute times of a shard's rows → its steps, and the step of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from mmseq.store.content import Content
from mmseq.store.layout import ABSOLUTE_TIME, STEP_TIME, row_file
from mmseq.store.npy import write_npy
from mmseq.store.timeline import Steps, bin_ends, merge

NO_ORIGIN = np.iinfo(np.int64).min


@dataclass(frozen=True)
class ShardTimeline:
    """What a shard's timeline came to.

    Attributes:
        lengths: steps of each sample.
        origins: absolute time of each sample's first step; `NO_ORIGIN` where it has no timed event.
        shared: modalities and tasks that have several rows at some step.
    """

    lengths: Int64[np.ndarray, "sample"]
    origins: Int64[np.ndarray, "sample"]
    shared: set[str]


@dataclass(frozen=True)
class Merger:
    """Makes timelines.

    Attributes:
        modalities, tasks: the timed ones, by name.
        anchor: the modality whose clock alone makes steps.
        width: of a bin, in the unit of the absolute times.
        nanoseconds: in the store's unit, where absolute times are moments; None where they are numbers.
    """

    modalities: Mapping[str, Content]
    tasks: Mapping[str, Content]
    anchor: str | None
    width: float | None
    nanoseconds: float | None

    def write(self, folder: Path, counts: Mapping[str, Int64[np.ndarray, "sample"]]) -> ShardTimeline:
        """Writes the steps of one shard; `counts` are the rows of its samples."""
        n_samples = len(next(iter(counts.values())))
        rows = {
            name: (np.repeat(np.arange(n_samples), counts[name]), _take_times(folder, name))
            for name in [*self.modalities, *self.tasks]
        }
        clocks = {name: (rows[name][0], bin_ends(rows[name][1], self.width)) for name in self.modalities}
        on_clock = [name for name in clocks if self.anchor in (None, name)]
        steps, found = merge(n_samples, [clocks[name] for name in on_clock])
        of_row = dict(zip(on_clock, found, strict=True))
        last = np.diff(steps.starts) - 1
        for name in clocks.keys() - of_row.keys():
            sample, time = clocks[name]
            of_row[name] = np.minimum(steps.search(sample, time, "left"), last[sample])
        for name in self.tasks:
            sample, time = rows[name]
            of_row[name] = np.maximum(steps.search(sample, time, "right") - 1, 0)
        for name, step in of_row.items():
            write_npy(folder / row_file(name, "step"), step.astype(np.int32))
        has_events = sum((counts[name] for name in on_clock), np.zeros(n_samples, np.int64)) > 0
        write_npy(folder / STEP_TIME, self._relative(steps))
        shared = {name for name, step in of_row.items() if _is_shared(rows[name][0], step)}
        return ShardTimeline(np.diff(steps.starts), self._origins(steps, has_events), shared)

    def _relative(self, steps: Steps) -> np.ndarray:
        if self.nanoseconds is None:
            return steps.time
        origin = np.repeat(steps.time[steps.starts[:-1]], np.diff(steps.starts))
        return (steps.time - origin) / self.nanoseconds

    def _origins(self, steps: Steps, has_events: np.ndarray) -> np.ndarray:
        if self.nanoseconds is None:
            return np.zeros(len(has_events), np.int64)
        return np.where(has_events, steps.time[steps.starts[:-1]], NO_ORIGIN)


def _take_times(folder: Path, name: str) -> np.ndarray:
    path = folder / row_file(name, ABSOLUTE_TIME)
    times = np.load(path)
    path.unlink()
    return times


def _is_shared(sample: np.ndarray, step: np.ndarray) -> bool:
    return bool(np.any((sample[1:] == sample[:-1]) & (step[1:] == step[:-1])))
