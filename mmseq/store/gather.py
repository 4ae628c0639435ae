"""Some samples out of a store, side by side in flat arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, Integer, Shaped

from mmseq.store.layout import STEP_INDEX, STEP_TIME, index_file, row_file
from mmseq.store.pick import Place, Shelf

if TYPE_CHECKING:
    from mmseq.store.manifest import RowsEntry
    from mmseq.store.read import Store


@dataclass(frozen=True)
class Rows:
    """The events of a modality, or the labels of a task.

    Attributes:
        starts: first row of each sample, and the number of rows at the end.
        step: the step of each row, counted over the gathered samples; of a modality without a time,
            the sample; of a label without a time, the sample's last step.
        arrays: `values` or `code` or both, (row, column).
    """

    starts: Int64[np.ndarray, "bound"]
    step: Int64[np.ndarray, "row"]
    arrays: dict[str, Shaped[np.ndarray, "row column"]]

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True)
class Gathered:
    """Samples side by side.

    Attributes:
        starts: first step of each sample, and the number of steps at the end.
        time: of each step, since the sample's origin.
        events: by modality.
        targets: by task.
    """

    starts: Int64[np.ndarray, "bound"]
    time: Float64[np.ndarray, "step"]
    events: dict[str, Rows]
    targets: dict[str, Rows]


def gather(
    store: Store, samples: Integer[np.ndarray, "member"], modalities: Sequence[str], tasks: Sequence[str]
) -> Gathered:
    """See `Store.gather`."""
    picker = _Picker(store, np.asarray(samples, np.int64))
    return Gathered(
        picker.steps.starts,
        picker.take(picker.steps, STEP_TIME, _NO_TIMES),
        {name: picker.rows(name, is_label=False) for name in modalities},
        {name: picker.rows(name, is_label=True) for name in tasks},
    )


class _Picker:
    """Some samples of one store."""

    def __init__(self, store: Store, samples: Int64[np.ndarray, "member"]) -> None:
        self.store = store
        self.shelf = Shelf(samples, store.shard_starts)
        self.steps = self.shelf.place(store.index(STEP_INDEX))

    def rows(self, name: str, is_label: bool) -> Rows:
        entry = self.store.entry(name)
        place = self.shelf.place(self.store.index(index_file(name)))
        if entry.timed:
            step = self.steps.starts[:-1].repeat(place.counts)
            step += self.take(place, row_file(name, "step"), _NO_STEPS)
        elif is_label:
            step = (self.steps.starts[1:] - 1).repeat(place.counts)
        else:
            step = np.arange(len(place.counts)).repeat(place.counts)
        arrays = {
            part: self.take(place, row_file(name, part), empty) for part, empty in _empty(entry).items()
        }
        return Rows(place.starts, step, arrays)

    def take(self, place: Place, file: str, like: np.ndarray) -> np.ndarray:
        return place.take([self.store.shard(shard)[file] for shard, _ in place.parts], like)


_NO_TIMES, _NO_STEPS = np.empty(0, np.float64), np.empty(0, np.int32)


def _empty(entry: RowsEntry) -> dict[str, np.ndarray]:
    arrays = {}
    if entry.numbers:
        arrays["values"] = np.empty((0, len(entry.numbers)), entry.dtype)
    if entry.codes:
        arrays["code"] = np.empty((0, len(entry.codes)), np.int32)
    return arrays
