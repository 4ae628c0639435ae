"""The absolute times of a shard's rows → its steps, and the step of each row."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Num

from mmseq.store.content import Content
from mmseq.store.cut import cut
from mmseq.store.layout import ABSOLUTE_TIME, STEP_TIME, row_file
from mmseq.store.npy import NpyWriter
from mmseq.store.timeline import Steps, bin_ends, merge

NO_ORIGIN = np.iinfo(np.int64).min
BLOCK_ROWS = 500_000  # whose timelines are in memory at a time

Counts = Mapping[str, Int64[np.ndarray, "sample"]]
Rows = dict[str, tuple[Int64[np.ndarray, "_"], Num[np.ndarray, "_"]]]


@dataclass
class Timelines:
    """What the timelines of all samples come to.

    Attributes:
        lengths: steps of each sample, a part after the other.
        origins: where times are moments, that of each sample's first step; `NO_ORIGIN` where it has no
            timed event.
        shared: modalities and tasks that have several rows at some step.
    """

    lengths: list[Int64[np.ndarray, "_"]] = field(default_factory=list)
    origins: list[Int64[np.ndarray, "_"]] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Merger:
    """Makes timelines.

    Attributes:
        modalities: the timed ones.
        tasks: the timed ones.
        anchor: the modality whose clock alone makes steps.
        width: of a bin, in the unit of the absolute times.
        nanoseconds: in the store's unit, where absolute times are moments; None where they are numbers.
    """

    modalities: Mapping[str, Content]
    tasks: Mapping[str, Content]
    anchor: str | None
    width: float | None
    nanoseconds: float | None

    def write(self, folder: Path, counts: Counts, found: Timelines) -> None:
        """Writes the steps of one shard.

        Args:
            folder: of the shard.
            counts: rows of each of its samples.
            found: where the facts are added.
        """
        names = [*self.modalities, *self.tasks]
        times = {name: np.load(folder / row_file(name, ABSOLUTE_TIME), mmap_mode="r") for name in names}
        starts = {name: np.concatenate([[0], np.cumsum(counts[name])]) for name in names}
        with ExitStack() as stack:
            clock = stack.enter_context(NpyWriter(folder / STEP_TIME, np.float64))
            writers = {
                name: stack.enter_context(NpyWriter(folder / row_file(name, "step"), np.int32))
                for name in names
            }
            for first, stop in cut(np.sum(list(counts.values()), axis=0), BLOCK_ROWS):
                rows = {
                    name: (
                        np.repeat(np.arange(stop - first), counts[name][first:stop]),
                        np.array(times[name][starts[name][first] : starts[name][stop]]),
                    )
                    for name in names
                }
                steps, step_of = self._merge(stop - first, rows, found)
                clock.append(self._relative(steps))
                for name, writer in writers.items():
                    writer.append(step_of[name])
        del times
        for name in names:
            (folder / row_file(name, ABSOLUTE_TIME)).unlink()

    def _merge(
        self, n_samples: int, rows: Rows, found: Timelines
    ) -> tuple[Steps, dict[str, Int64[np.ndarray, "_"]]]:
        clocks = {name: (rows[name][0], bin_ends(rows[name][1], self.width)) for name in self.modalities}
        on_clock = [name for name in clocks if self.anchor in (None, name)]
        steps, merged = merge(n_samples, [clocks[name] for name in on_clock])
        step_of = dict(zip(on_clock, merged, strict=True))
        last = np.diff(steps.starts) - 1
        for name in clocks.keys() - step_of.keys():
            sample, time = clocks[name]
            step_of[name] = np.minimum(steps.search(sample, time, "left"), last[sample])
        for name in self.tasks:
            sample, time = rows[name]
            step_of[name] = np.maximum(steps.search(sample, time, "right") - 1, 0)
        found.lengths.append(np.diff(steps.starts))
        if self.nanoseconds is not None:
            has_events = np.zeros(n_samples, bool)
            for name in on_clock:
                has_events[clocks[name][0]] = True
            found.origins.append(np.where(has_events, steps.time[steps.starts[:-1]], NO_ORIGIN))
        found.shared |= {name for name, step in step_of.items() if _is_shared(rows[name][0], step)}
        return steps, step_of

    def _relative(self, steps: Steps) -> Num[np.ndarray, "step"]:
        if self.nanoseconds is None:
            return steps.time
        origin = np.repeat(steps.time[steps.starts[:-1]], np.diff(steps.starts))
        return (steps.time - origin) / self.nanoseconds


def _is_shared(sample: Int64[np.ndarray, "row"], step: Int64[np.ndarray, "row"]) -> bool:
    return bool(np.any((sample[1:] == sample[:-1]) & (step[1:] == step[:-1])))
