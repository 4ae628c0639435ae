"""What is fitted of measurements: which codes are known, and the scale of each one's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from mmseq.modalities import Spec, Stored
from mmseq.modalities.by_code import fit_scales


class MeasurementSpec(Spec):
    """Facts of each code, over the training split.

    Attributes:
        columns: of the code, the number, and the text where it is read.
        codes: those with a vector of their own; code i of an event is entry i - 2.
        counts: events of each.
        rare: codes that the training split has, but too rarely.
        numbers: how many numbers the rare codes have together, and how many each code has.
        mean, std: of the numbers of rare codes, and of each code, after clipping.
        low, high: where numbers are clipped, likewise; None: not at all.
        texts: known ones; text i of an event is entry i - 2. None where none are read.
        shared_steps: several events may share a step, so that the next event is a set.
    """

    columns: list[str]
    codes: list[str]
    counts: list[int]
    rare: list[str]
    numbers: list[int]
    mean: list[float]
    std: list[float]
    low: list[float] | None
    high: list[float] | None
    texts: list[str] | None
    shared_steps: bool


def fit_measurements(
    stored: Stored, columns: Sequence[str], min_count: int, clip: Sequence[float] | None
) -> MeasurementSpec:
    """Vocabularies and scales, in four passes at most.

    Args:
        stored: a training split with an event.
        columns: their names.
        min_count: codes with fewer events are rare, and those with fewer numbers share one scale.
        clip: percentiles of each scale; None: no clipping.
    """
    words, numbers = stored.vocabularies[0], np.zeros(len(stored.vocabularies[0]), np.int64)
    events = [np.zeros(len(vocabulary), np.int64) for vocabulary in stored.vocabularies]
    for chunk in stored.chunks():
        code, value = chunk["code"], chunk["values"][:, 0]
        for column, counts in zip(code.T, events, strict=True):
            counts += np.bincount(column[column >= 0], minlength=len(counts))
        numbers += np.bincount(code[(code[:, 0] >= 0) & ~np.isnan(value), 0], minlength=len(words))
    known = np.flatnonzero(events[0] >= min_count)
    rare = np.flatnonzero((events[0] > 0) & (events[0] < min_count))
    own = np.flatnonzero(numbers >= min_count)
    group = np.zeros(len(words), np.int64)  # scale 0 is the one that is shared
    group[own] = np.arange(1, len(own) + 1)
    counts = np.bincount(group, numbers, len(own) + 1).astype(np.int64)
    scales = fit_scales(lambda: _numbers(stored, group), counts, clip)
    of_each = np.append(0, group[known])

    def listed(values: Float64[np.ndarray, "group"] | None) -> list[float] | None:
        return None if values is None else values[of_each].tolist()

    return MeasurementSpec(
        columns=list(columns),
        codes=[words[i] for i in known],
        counts=events[0][known].tolist(),
        rare=[words[i] for i in rare],
        numbers=[int(numbers[rare].sum()), *numbers[known].tolist()],
        mean=scales.mean[of_each].tolist(),
        std=scales.std[of_each].tolist(),
        low=listed(scales.low),
        high=listed(scales.high),
        texts=_texts(stored, events, min_count),
        shared_steps=stored.shared_steps,
    )


def _texts(stored: Stored, events: Sequence[Int64[np.ndarray, "_word"]], min_count: int) -> list[str] | None:
    if len(events) == 1:
        return None
    return [stored.vocabularies[1][i] for i in np.flatnonzero(events[1] >= min_count)]


def _numbers(
    stored: Stored, group: Int64[np.ndarray, "word"]
) -> Iterator[tuple[Int64[np.ndarray, "_n"], Float64[np.ndarray, "_n"]]]:
    """The numbers that have a code, with the scale that each belongs to, a part at a time."""
    for chunk in stored.chunks():
        code, value = chunk["code"][:, 0], chunk["values"][:, 0]
        there = (code >= 0) & ~np.isnan(value)
        yield group[code[there]], value[there].astype(np.float64)
