"""Categories: one or several code columns an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from mmseq.batch import CategoryEvents, Timeline
from mmseq.modalities import (
    Arrays,
    Modality,
    ModalityConfig,
    NextEvent,
    Part,
    Spec,
    Stored,
    cells_of,
    check_named_once,
    check_some_events,
    modalities,
)
from mmseq.modalities.cells import word_cell
from mmseq.modalities.codes import code_part, code_sets
from mmseq.sources import Reading
from mmseq.state import State
from mmseq.words import word_number

MISSING, UNKNOWN, FIRST = 0, 1, 2


class CategoryConfig(ModalityConfig):
    kind: Literal["category"]
    column: str | None = Field(None, description="the column of codes")
    columns: list[str] = Field([], description="or several columns of codes")
    min_count: PositiveInt = Field(1, description="rarer codes of the training split count as unknown")

    @model_validator(mode="after")
    def _one_or_several(self) -> CategoryConfig:
        if (self.column is None) == (not self.columns):
            raise ValueError("set `column` or `columns`, one of them")
        check_named_once(self.columns)
        return self


class CategorySpec(Spec):
    """Facts of each column, over the training split.

    Attributes:
        columns: names.
        vocabularies: known codes of each column; code i of an event is entry i - 2.
        counts: how often each was seen.
        missing: share of the cells without a code.
        shared_steps: several events may share a step, so that the next event is a set.
    """

    columns: list[str]
    vocabularies: list[list[str]]
    counts: list[list[int]]
    missing: list[float]
    shared_steps: bool


@modalities.register(CategoryConfig)
class CategoryModality(Modality):
    """Maps codes to the vocabulary of the training split; it remembers nothing.

    Attributes:
        identify: events also carry a number for each raw word.
    """

    Spec = CategorySpec
    gives = CategoryEvents
    default_encoder = "embedding"

    def __init__(self, spec: CategorySpec) -> None:
        super().__init__(spec)
        self.identify = False
        self._lookup: tuple[tuple[tuple[str, ...], ...], list[np.ndarray], list[np.ndarray]] | None = None
        self._codes = [{word: i + FIRST for i, word in enumerate(words)} for words in spec.vocabularies]

    @classmethod
    def reading(cls, config: CategoryConfig) -> Reading:
        columns = tuple(config.columns) if config.column is None else (config.column,)
        return Reading(config.table, config.time, codes=columns)

    @classmethod
    def fit(cls, config: CategoryConfig, stored: Stored) -> CategorySpec:
        """Vocabularies of the training split. Raises DataError where it has no event at all."""
        check_some_events(config.table, stored)
        counts = [np.zeros(len(v) + 1, np.int64) for v in stored.vocabularies]
        for chunk in stored.chunks():
            for i, count in enumerate(counts):
                count += np.bincount(chunk["code"][:, i] + 1, minlength=len(count))
        kept = [np.flatnonzero(count[1:] >= config.min_count) for count in counts]
        return CategorySpec(
            columns=list(stored.columns),
            vocabularies=[[v[i] for i in k] for v, k in zip(stored.vocabularies, kept, strict=True)],
            counts=[count[1:][k].tolist() for count, k in zip(counts, kept, strict=True)],
            missing=[float(count[0] / stored.n_events) for count in counts],
            shared_steps=stored.shared_steps,
        )

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> CategoryEvents:
        codes, numbers = self._lookups(vocabularies)
        raw = arrays["code"].T
        code = np.stack([table[there] for table, there in zip(codes, raw, strict=True)], axis=1)
        if not self.identify:
            return CategoryEvents(step, torch.from_numpy(code))
        word = np.stack([table[there] for table, there in zip(numbers, raw, strict=True)], axis=1)
        return CategoryEvents(step, torch.from_numpy(code), torch.from_numpy(word))

    def _lookups(
        self, vocabularies: tuple[tuple[str, ...], ...]
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For each column, code of the store → code of the model, and number of the word.

        The last entry of each, -1, is missing.
        """
        if self._lookup is None or self._lookup[0] is not vocabularies:
            codes, numbers = [], []
            for known, there in zip(self._codes, vocabularies, strict=True):
                codes.append(np.array([*(known.get(word, UNKNOWN) for word in there), MISSING], np.int64))
                numbers.append(np.array([*map(word_number, there if self.identify else ()), 0], np.int64))
            self._lookup = (vocabularies, codes, numbers)
        return self._lookup[1], self._lookup[2]

    def parse(self, step: Tensor, values: Sequence[Any]) -> CategoryEvents:
        rows = [[word_cell(cell) for cell in cells_of(value, self.spec.columns)] for value in values]
        shape = (len(values), len(self.spec.columns))
        code = [[_code(word, known) for word, known in zip(row, self._codes, strict=True)] for row in rows]
        codes = torch.tensor(code, dtype=torch.int64).view(shape)
        if not self.identify:
            return CategoryEvents(step, codes)
        numbers = [[0 if word is None else word_number(word) for word in row] for row in rows]
        return CategoryEvents(step, codes, torch.tensor(numbers, dtype=torch.int64).view(shape))

    def forward(
        self, events: CategoryEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[CategoryEvents, State]:
        return events, {}

    def unknown(self, events: CategoryEvents) -> dict[str, int]:
        counts = (events.code == UNKNOWN).sum(0).tolist()
        return {column: n for column, n in zip(self.spec.columns, counts, strict=True) if n}

    def next_parts(self) -> list[Part]:
        """A softmax a column; where events share steps, independent labels over the vocabulary.

        A column without any known code has nothing to predict.
        """
        parts, first = [], 0
        name_of = (lambda column: "") if len(self.spec.columns) == 1 else (lambda column: column)
        for column, words, counts in zip(
            self.spec.columns, self.spec.vocabularies, self.spec.counts, strict=True
        ):
            if not words:
                continue
            part = code_part(name_of(column), words, counts, is_set=self.spec.shared_steps, first=first)
            parts.append(part)
            first = part.last
        return parts

    def next_event(self, events: CategoryEvents, first: np.ndarray) -> NextEvent:
        """The class of each column, or the set of codes at each step; unknown and missing are no target.

        A set without any known code is not observed, rather than empty.
        """
        known = [i for i, words in enumerate(self.spec.vocabularies) if words]
        code = events.code.numpy()[:, known] - FIRST
        if not self.spec.shared_steps:
            return NextEvent(np.maximum(code, 0), code >= 0)
        columns = zip(code.T, filter(None, self.spec.vocabularies), strict=True)
        sets = [code_sets(column, len(words), first) for column, words in columns]
        none = np.zeros((len(first), 0), bool)
        return NextEvent(
            np.concatenate([none, *(labels for labels, _ in sets)], axis=1, dtype=np.float32),
            np.concatenate([none, *(observed for _, observed in sets)], axis=1),
        )


def _code(word: str | None, known: Mapping[str, int]) -> int:
    return MISSING if word is None else known.get(word, UNKNOWN)
