"""What a modality's feature will be, some time after each step, as a store has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from mmseq.batch.last_values import Known
from mmseq.errors import DataError
from mmseq.heads import Encoded, Head, HeadConfig, Labels, TargetConfig, heads
from mmseq.registry import did_you_mean
from mmseq.store.plan import SECONDS, seconds
from mmseq.store.timeline import Steps

if TYPE_CHECKING:
    from mmseq.store import Store
    from mmseq.store.gather import Rows

_ROUNDING = 4  # float64 numbers on, as where 0.7 + 0.1 is less than 0.8
_STEPS_AT_ONCE = 1_000_000

Values = tuple[Int64[np.ndarray, "event"], Shaped[np.ndarray, "event"]]
"""Where a feature is observed: the step, and the value."""


def within(
    step: Int64[np.ndarray, "event"],
    starts: Int64[np.ndarray, "bound"],
    time: Float64[np.ndarray, "step"],
    horizon: float,
) -> tuple[Int64[np.ndarray, "label"], Int64[np.ndarray, "label"]]:
    """The steps, at a time t, that have an event in (t, t + horizon]; and of each, the last such event.

    Args:
        step: of each event, in order.
        starts, time: the timeline.
        horizon: in the unit of `time`.
    """
    sample = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    last = starts[sample] + Steps(starts, time).search(sample, _limit(time, horizon), "right") - 1
    row = np.searchsorted(step, last, side="right") - 1
    where = np.flatnonzero(np.append(step, -1)[row] > np.arange(len(time)))
    return where, row[where]


def _limit(time: Float64[np.ndarray, "step"], horizon: float) -> Float64[np.ndarray, "step"]:
    limit = time + horizon
    return limit + _ROUNDING * np.spacing(np.maximum(np.abs(limit), horizon))


@dataclass(frozen=True)
class Ahead:
    """Reads what a task predicts at a horizon from a store.

    Attributes:
        store: where the events are.
        task: its name.
        name: the modality.
        feature: of it.
        part: the stored array that holds the feature, `values` or `code`.
        column: of that array.
        horizon: in the store's unit of time.
    """

    store: Store
    task: str
    name: str
    feature: str
    part: str
    column: int
    horizon: float

    @classmethod
    def of(cls, store: Store, task: str, config: TargetConfig) -> Ahead:
        """Raises DataError where the modality does not have the feature."""
        assert config.target is not None
        target, reading = config.target, heads.component_class(config.kind).reading(config)
        assert reading is not None, "a head of labels says what it reads"
        entry = store.entry(target.modality)
        columns, part = (entry.codes, "code") if reading.codes else (entry.numbers, "values")
        if target.feature not in columns:
            raise DataError(
                f"tasks.{task}.target.feature: must be a column or code of modality {target.modality!r}; "
                f"{target.feature!r} came{did_you_mean(target.feature, columns)}; there are: "
                f"{', '.join(columns)}"
            )
        column, unit = columns.index(target.feature), SECONDS[store.manifest.unit]
        horizon = seconds(target.horizon) / unit
        return cls(store, task, target.modality, target.feature, part, column, horizon)

    def stop(self, samples: Int64[np.ndarray, "member"], last: int) -> int:
        """The first step of any of these samples that none of the steps before `last` looks ahead to."""
        stop = last
        for sample in samples[self.store.lengths[samples] > last].tolist():
            times = self.store.times(sample)
            limit = _limit(times[last - 1 : last], self.horizon)
            stop = max(stop, int(times.searchsorted(limit[0], side="right")))
        return stop

    def read(self, rows: Rows) -> Values:
        """Where the feature is observed in some gathered rows."""
        values = rows.arrays[self.part][:, self.column]
        observed = values >= 0 if self.part == "code" else ~np.isnan(values)
        return rows.step[observed], values[observed]

    def known(self, rows: Rows, sample: int, first: int) -> Known:
        """The feature as it is known after each of some rows; see `last_before`."""
        values = self.read(rows)[1]
        return values[:, None], np.ones((len(values), 1), bool)

    def labels(self, values: Shaped[np.ndarray, "label"]) -> Labels:
        """Values as raw labels."""
        numbers, codes = np.zeros((len(values), 0), np.float32), np.zeros(0, np.int32)
        if self.part == "values":
            return Labels((self.feature,), values[:, None], codes, (), self.task)
        entry = self.store.entry(self.name)
        words = tuple(entry.vocabularies[self.column])
        return Labels((self.feature,), numbers, values.astype(np.int32), words, self.task)

    def values(self, samples: Int64[np.ndarray, "member"]) -> Shaped[np.ndarray, "label"]:
        """What is to be predicted from all steps of some samples."""
        found = [np.zeros(0, np.int32 if self.part == "code" else np.float32)]
        ends = np.cumsum(self.store.lengths[samples])
        bounds = np.searchsorted(ends, np.arange(_STEPS_AT_ONCE, ends[-1:].sum(), _STEPS_AT_ONCE))
        for some in np.split(samples, np.unique(bounds)):
            gathered = self.store.gather(some, [self.name], [])
            step, values = self.read(gathered.events[self.name])
            found.append(values[within(step, gathered.starts, gathered.time, self.horizon)[1]])
        return np.concatenate(found)

    def encode(self, head: Head, values: Shaped[np.ndarray, "label"]) -> Encoded:
        """Values as the head's loss takes them; a word that training never had is no label."""
        labels = self.labels(values)
        if not labels.code.size:
            return head.encode(labels)
        classes = set(getattr(head.spec, "classes", labels.vocabulary))
        is_known = np.array([word in classes for word in labels.vocabulary], bool)
        row = np.flatnonzero(is_known[labels.code])
        encoded = head.encode(self.labels(values[row]))
        return Encoded(row[encoded.row], encoded.value, encoded.observed)


def all_ahead(configs: Mapping[str, HeadConfig], store: Store) -> dict[str, Ahead]:
    """Of the tasks that predict at a horizon, by name. Raises DataError where there is no such feature."""
    return {
        task: Ahead.of(store, task, config)
        for task, config in configs.items()
        if isinstance(config, TargetConfig) and config.target is not None
    }
