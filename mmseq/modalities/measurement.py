"""Measurements: a code an event, with a number on that code's own scale, or a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from mmseq.batch import MeasurementEvents, Timeline
from mmseq.modalities import (
    Arrays,
    Modality,
    ModalityConfig,
    NextEvent,
    Part,
    Stored,
    cells_of,
    check_named_once,
    check_some_events,
    modalities,
)
from mmseq.modalities.cells import number_cell, word_cell
from mmseq.modalities.codes import code_part, code_sets
from mmseq.modalities.measured import MeasurementSpec, fit_measurements
from mmseq.sources import Reading
from mmseq.state import State

NEVER, MISSING, RARE, FIRST = -1, 0, 1, 2
UNKNOWN = 1  # of a text
_FITTED = ("mean", "std", "low", "high")


class MeasurementConfig(ModalityConfig):
    kind: Literal["measurement"]
    code: str = Field(description="column that says what was measured")
    value: str = Field(description="column with its number, in the code's own unit; may be empty")
    text: str | None = Field(None, description="column with what was found in a word, such as `positive`")
    min_count: PositiveInt = Field(
        10,
        description="codes with fewer events in the training split share one vector, and those with fewer "
        "numbers one scale; rarer texts count as unknown",
    )
    clip: list[Annotated[float, Field(ge=0, le=100)]] | None = Field(
        [0.5, 99.5],
        min_length=2,
        max_length=2,
        description="training percentiles of each code to clip its numbers at; null: no clipping",
    )

    @model_validator(mode="after")
    def _columns_and_percentiles(self) -> MeasurementConfig:
        check_named_once(self.names)
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("the lower percentile of `clip` must be below the upper one")
        return self

    @property
    def names(self) -> list[str]:
        """Code, value, and text where it is read: the order of a raw value's cells."""
        return [self.code, self.value, *([] if self.text is None else [self.text])]


@modalities.register(MeasurementConfig)
class MeasurementModality(Modality):
    """Normalises each number by the facts of its own code; it remembers nothing.

    z = (clip(x) - mean) / std, with the percentiles, mean and standard deviation of the code. Codes with
    fewer than `min_count` numbers have those of all their numbers together, which may differ in unit. Codes
    with fewer than `min_count` events share a vector, too; so does a code that the training split never had,
    which counts as unknown. A number whose scale nothing has learned is dropped, as if there were none: its
    code is missing, or the training split has no number of that code (of a rare one: of any rare one).

    The next event is the code alone: a softmax, or one logit a code where several events may share a step.
    How large its number will be is not predicted, so measurements cannot be generated.
    """

    Spec = MeasurementSpec
    gives = MeasurementEvents
    default_encoder = "measurement"
    can_generate = False

    def __init__(self, spec: MeasurementSpec) -> None:
        super().__init__(spec)
        codes = {word: i + FIRST for i, word in enumerate(spec.codes)} | dict.fromkeys(spec.rare, RARE)
        texts = {word: i + FIRST for i, word in enumerate(spec.texts or ())}
        self._known = [(codes, NEVER), (texts, UNKNOWN)][: len(spec.columns) - 1]
        self._lookup: tuple[tuple[tuple[str, ...], ...], list[np.ndarray]] | None = None
        for name in (*_FITTED, "is_learned"):
            self.register_buffer(name, None, persistent=False)
        self._set_fitted()

    mean: Tensor
    std: Tensor
    low: Tensor | None
    high: Tensor | None
    is_learned: Tensor

    def _set_fitted(self) -> None:
        device = self.like.device
        for name in _FITTED:
            values = getattr(self.spec, name)
            if values is not None:  # a missing code comes first, and may have any scale: it has no number
                setattr(self, name, torch.tensor([1.0, *values], dtype=torch.float64, device=device))
        self.is_learned = torch.tensor([0, *self.spec.numbers], device=device) > 0

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> MeasurementModality:
        """Moves and casts, but not what was fitted: raw values may need all of its digits."""
        super()._apply(function, recurse)
        self._set_fitted()
        return self

    @classmethod
    def reading(cls, config: MeasurementConfig) -> Reading:
        code, value, *text = config.names
        return Reading(config.table, config.time, numbers=(value,), codes=(code, *text))

    @classmethod
    def fit(cls, config: MeasurementConfig, stored: Stored) -> MeasurementSpec:
        """Codes, texts and scales of the training split. Raises DataError where it has no event at all."""
        check_some_events(config.table, stored)
        return fit_measurements(stored, config.names, config.min_count, config.clip)

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> MeasurementEvents:
        tables = self._tables(vocabularies)
        words = [table[code] for table, code in zip(tables, arrays["code"].T, strict=True)]
        return _events(step, arrays["values"][:, 0], words)

    def _tables(self, vocabularies: tuple[tuple[str, ...], ...]) -> list[np.ndarray]:
        """For codes, and for texts: number in the store → number in the model; the last, -1, is missing."""
        if self._lookup is None or self._lookup[0] is not vocabularies:
            tables = [
                np.array([*(known.get(word, other) for word in there), MISSING], np.int64)
                for (known, other), there in zip(self._known, vocabularies, strict=True)
            ]
            self._lookup = (vocabularies, tables)
        return self._lookup[1]

    def parse(self, step: Tensor, values: Sequence[Any]) -> MeasurementEvents:
        """Raw values are (code, number) or (code, number, text), or a dict by column."""
        rows = [cells_of(value, self.spec.columns) for value in values]
        numbers = np.array([number_cell(row[1]) for row in rows], np.float64)
        words = []
        for (known, other), place in zip(self._known, (0, 2), strict=False):
            found = [word_cell(row[place]) for row in rows]
            codes = [MISSING if word is None else known.get(word, other) for word in found]
            words.append(np.array(codes, np.int64))
        return _events(step, numbers, words)

    def forward(
        self, events: MeasurementEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[MeasurementEvents, State]:
        code = torch.where(events.code == NEVER, RARE, events.code)
        observed = events.observed & self.is_learned[code]
        values = torch.where(observed, self.normalise(events.values, code), 0)
        return replace(events, code=code, values=values, observed=observed), {}

    def normalise(
        self, values: Float[Tensor, "event"], code: Int64[Tensor, "event"]
    ) -> Float[Tensor, "event"]:
        """Raw → clipped, mean 0 and spread 1 of each code, in the model's own precision."""
        values = values.to(self.mean)
        if self.low is not None and self.high is not None:
            values = torch.clamp(values, self.low[code], self.high[code])
        return values.sub(self.mean[code]).div_(self.std[code]).to(self.like.dtype)

    def unknown(self, events: MeasurementEvents) -> dict[str, int]:
        """Codes that training never had, numbers of known codes that it had none of, and unknown texts."""
        is_learned = self.is_learned.to(events.code.device)
        dropped = events.observed & (events.code >= RARE) & ~is_learned[events.code]
        counts = [(events.code == NEVER).sum(), dropped.sum()]
        counts += [] if events.text is None else [(events.text == UNKNOWN).sum()]
        return {name: int(n) for name, n in zip(self.spec.columns, counts, strict=True) if n}

    def next_parts(self) -> list[Part]:
        """A softmax over the known codes, or where events share steps, independent labels."""
        spec = self.spec
        if not spec.codes:
            return []
        return [code_part("", spec.codes, spec.counts, is_set=spec.shared_steps, first=0)]

    def next_event(self, events: MeasurementEvents, first: np.ndarray) -> NextEvent:
        """The code, or the set of codes at each step; rare, unknown and missing ones are no target."""
        code = events.code.numpy() - FIRST
        if not self.spec.codes:
            return NextEvent(np.zeros((len(first), 0), np.int64))
        if self.spec.shared_steps:
            return NextEvent(*code_sets(code, len(self.spec.codes), first))
        return NextEvent(np.maximum(code, 0)[:, None], code[:, None] >= 0)


def _events(step: Tensor, values: np.ndarray, words: Sequence[np.ndarray]) -> MeasurementEvents:
    """Numbers, NaN where missing; the codes in the model's own numbers, and the texts where they are read."""
    observed = ~np.isnan(values)
    code, *text = (torch.from_numpy(word) for word in words)
    values = np.where(observed, values, 0)
    return MeasurementEvents(step, code, torch.from_numpy(values), torch.from_numpy(observed), *text)
