"""Some samples out of a store, side by side in flat arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer

from mmseq.store.layout import STEP_INDEX, STEP_TIME, index_file, row_file
from mmseq.store.payload import PART, take_ragged
from mmseq.store.pick import PickedRows, Shelf

if TYPE_CHECKING:
    from mmseq.store.manifest import RowsEntry
    from mmseq.store.read import Store


Window = tuple[int, int]
"""The steps [first, last) of each sample; a sample may have fewer."""


@dataclass(frozen=True)
class Rows:
    """The events of a modality, or the labels of a task.

    Attributes:
        starts: first row of each sample, and the number of rows at the end.
        step: the step of each row, counted over the gathered samples; of a modality without a time,
            the sample; of a label without a time, the sample's last step.
        arrays: `values` or `code` or both, (row, column), and `payload`, (row, …) or ragged.
    """

    starts: Int64[np.ndarray, "bound"]
    step: Int64[np.ndarray, "row"]
    arrays: dict[str, Any]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class Gathered:
    """Samples side by side.

    Attributes:
        starts: first step of each sample, and the number of steps at the end.
        time: of each step: as given, or since the sample's origin where the data have dates.
        events: by modality.
        targets: by task.
    """

    starts: Int64[np.ndarray, "bound"]
    time: Float64[np.ndarray, "step"]
    events: dict[str, Rows]
    targets: dict[str, Rows]


def gather(
    store: Store,
    samples: Integer[np.ndarray, "member"],
    modalities: Sequence[str],
    tasks: Sequence[str],
    window: Window | None = None,
    early: bool = False,
    times: bool = True,
    bare: Collection[str] = (),
) -> Gathered:
    """See `Store.gather`."""
    picker = Picker(store, np.asarray(samples, np.int64), window, early, bare)
    return Gathered(
        picker.starts,
        picker.take(picker.steps, STEP_TIME, _NO_TIMES) if times else _NO_TIMES,
        {name: picker.rows(name, is_label=False) for name in modalities},
        {name: picker.rows(name, is_label=True) for name in tasks},
    )


def gather_ahead(
    store: Store, samples: Integer[np.ndarray, "member"], name: str, window: Window, bare: bool = False
) -> tuple[Gathered, Bool[np.ndarray, "member"]]:
    """A window, and one step more of each sample: the modality's first one after it, where there is one.

    Returns:
        the steps, with the events of this modality alone; and which samples have one more.
    """
    picker = Picker(store, np.asarray(samples, np.int64), window, bare=[name] if bare else ())
    return picker.ahead(name)


class Picker:
    """Some samples of one store, or a window of each."""

    def __init__(
        self,
        store: Store,
        samples: Int64[np.ndarray, "member"],
        window: Window | None,
        early: bool = False,
        bare: Collection[str] = (),
    ) -> None:
        self.store, self.window, self.bare = store, window, bare
        self.shelf = Shelf(samples, store.shard_starts)
        index = store.index(STEP_INDEX)
        self.first, lengths = self.shelf.span(index)
        first, counts = self.first, lengths
        if window is not None:
            skipped = np.minimum(window[0], lengths)
            first, counts = first + skipped, np.minimum(window[1], lengths) - skipped
            self.labelled = (counts > 0) & (early | (lengths <= window[1]))
        self.step_rows, self.n_steps = first, counts
        self.starts = np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def steps(self) -> PickedRows:
        return self.shelf.place(self.store.index(STEP_INDEX), self.step_rows, self.n_steps)

    def rows(self, name: str, is_label: bool) -> Rows:
        entry, index = self.store.entry(name), self.store.index(index_file(name))
        first, counts = self.shelf.span(index)
        if self.window is not None and entry.timed:
            begin, end, *_ = self._find(name, first, counts)
            first, counts = begin, end - begin
        elif self.window is not None and is_label:
            counts = counts * self.labelled
        place = self.shelf.place(index, first, counts)
        if entry.timed:
            step = self.starts[:-1].repeat(place.counts)
            step += self._step_in_window(name, place)
        elif is_label:
            step = (self.starts[1:] - 1).repeat(place.counts)
        else:
            step = np.arange(len(place.counts)).repeat(place.counts)
        return Rows(place.starts, step, {} if name in self.bare else self.arrays(name, place))

    def ahead(self, name: str) -> tuple[Gathered, Bool[np.ndarray, "member"]]:
        """See `gather_ahead`."""
        index = self.store.index(index_file(name))
        begin, _, end, following = self._find(name, *self.shelf.span(index))
        place = self.shelf.place(index, begin, end - begin)
        more = following >= 0
        n_steps = self.n_steps
        starts = np.concatenate([[0], np.cumsum(n_steps + more)])
        steps = self.store.index(STEP_INDEX)
        last = self.shelf.place(steps, self.first + following, more.astype(np.int64))
        here, there = (self.take(p, STEP_TIME, _NO_TIMES) for p in (self.steps, last))
        time = np.insert(here, self.starts[1:][more], there)
        step = np.minimum(self._step_in_window(name, place), n_steps.repeat(place.counts))
        step += starts[:-1].repeat(place.counts)
        rows = Rows(place.starts, step, {} if name in self.bare else self.arrays(name, place))
        return Gathered(starts, time, {name: rows}, {}), more

    def _step_in_window(self, name: str, place: PickedRows) -> np.ndarray:
        step = self.take(place, row_file(name, "step"), _NO_STEPS)
        return step if self.window is None else step - self.window[0]

    def _find(
        self, name: str, first: np.ndarray, counts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of each sample: its first row in the window, the first after it, the first after the step that
        follows the window, and that step, -1 where there is none."""
        assert self.window is not None
        file, base = row_file(name, "step"), self.store.index(index_file(name))[self.shelf.first_sample]
        found = np.empty((len(first), 4), np.int64)
        for i, (shard, row, n) in enumerate(zip(self.shelf.shard, first - base, counts, strict=True)):
            steps = self.store.shard(int(shard))[file][row : row + n]
            # Of the array's own type: a search for others would copy all of it.
            begin, end = steps.searchsorted(np.array(self.window, steps.dtype))
            following = steps[end] if end < n else steps.dtype.type(-1)
            after = steps[end:].searchsorted(following, side="right") + end if end < n else end
            found[i] = first[i] + begin, first[i] + end, first[i] + after, following
        return found[:, 0], found[:, 1], found[:, 2], found[:, 3]

    def arrays(self, name: str, place: PickedRows) -> dict[str, Any]:
        entry = self.store.entry(name)
        arrays: dict[str, Any] = {
            part: self.take(place, row_file(name, part), like) for part, like in parts_of(entry).items()
        }
        if entry.payload is not None and entry.payload.shape is None:
            parts = [(self.store.shard(shard), rows) for shard, rows in place.parts]
            arrays[PART] = take_ragged(parts, place.order, np.empty(0, entry.payload.dtype), name)
        return arrays

    def take(self, place: PickedRows, file: str, like: np.ndarray) -> np.ndarray:
        return place.take([self.store.shard(shard)[file] for shard, _ in place.parts], like)


_NO_TIMES, _NO_STEPS = np.empty(0, np.float64), np.empty(0, np.int32)


def parts_of(entry: RowsEntry) -> dict[str, np.ndarray]:
    """By array of a modality or task, its rows, of which there are none; but for a payload of any length."""
    arrays = {}
    if entry.numbers:
        arrays["values"] = np.empty((0, len(entry.numbers)), entry.dtype)
    if entry.codes:
        arrays["code"] = np.empty((0, len(entry.codes)), np.int32)
    if entry.payload is not None and entry.payload.shape is not None:
        arrays[PART] = np.empty((0, *entry.payload.shape), entry.payload.dtype)
    return arrays
