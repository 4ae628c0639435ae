"""Modalities: data types. How raw values are read, fitted, made into events, and remembered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny
from torch import Tensor, nn

from mmseq.batch import Events, Timeline
from mmseq.encoders import EncoderConfig, encoders
from mmseq.errors import DataError
from mmseq.registry import ComponentConfig, Registry, did_you_mean
from mmseq.sources import Reading
from mmseq.state import State

__all__ = [
    "Arrays",
    "Modality",
    "ModalityConfig",
    "NextEvent",
    "Part",
    "Spec",
    "Stored",
    "cells_of",
    "check_named_once",
    "modalities",
]

Arrays = Mapping[str, Any]
"""By part, `values` and `code`, arrays (event, column), or `payload`, (event, …) or `Ragged`."""


class ModalityConfig(ComponentConfig):
    """Base of every modality's config."""

    table: str = Field(description="table that holds the events")
    time: str | None = Field(None, description="time column; none: static, one row a sample")
    encoder: Annotated[SerializeAsAny[EncoderConfig], BeforeValidator(encoders.parse)] | None = Field(
        None, description="how an event becomes a vector; none: the kind's own default"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of training samples from which the whole modality is hidden"
    )

    @property
    def static(self) -> bool:
        """Whether its events belong to whole samples, not to steps."""
        return self.time is None


def cells_of(value: Any, columns: Sequence[str]) -> list[Any]:
    """The cells of a raw value, one a column; see `Modality.parse`.

    Raises:
        DataError: it has other columns.
    """
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in columns]
        if unknown:
            raise DataError(
                f"{unknown[0]!r}: must be one of the modality's columns{did_you_mean(unknown[0], columns)}; "
                f"they are {', '.join(columns)}"
            )
        return [value.get(name) for name in columns]
    cells = list(value) if isinstance(value, (list, tuple, np.ndarray)) else [value]
    if len(cells) != len(columns):
        raise DataError(
            f"{value!r}: needs one value a column, {', '.join(columns)}; {len(cells)} came; "
            "pass a dict by column where some are missing"
        )
    return cells


def check_named_once(columns: list[str]) -> None:
    """Raises ValueError for a column that is named again: the store holds each once."""
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns: each may be named once; got {', '.join(columns)}")


def check_some_events(table: str, stored: Stored) -> None:
    """Raises DataError where the training split has no event to fit on."""
    if stored.n_events == 0:
        raise DataError(
            f"{table}: the modality needs events in the training split; it has none; check ids, `data.until` "
            "and the split"
        )


class Spec(BaseModel):
    """Facts fitted on the training split, kept in the bundle as JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Stored:
    """What the store holds of one modality.

    Attributes:
        columns: resolved names of the number columns, or of the code columns.
        vocabularies: of each code column, the strings behind its codes.
        chunks: iterates over the training split's arrays, a part at a time: `values` float32
            or float64 (event, column), NaN where missing, or `code` int32 (event, column), -1 where missing.
        n_events: number of events in the training split.
        shared_steps: whether any step anywhere holds more than one event.
        time_scale: a typical time between steps, in the timeline's unit.
    """

    columns: tuple[str, ...]
    vocabularies: tuple[tuple[str, ...], ...]
    chunks: Callable[[], Iterator[Arrays]]
    n_events: int
    shared_steps: bool
    time_scale: float


class Part(BaseModel):
    """A head that predicts some columns of a modality's next event; kept in the bundle as JSON.

    Attributes:
        name: of the columns it predicts, as in the prediction table.
        kind: the head's kind.
        spec: its facts, as JSON.
        options: its options.
        first, last: the columns [first, last) of the target's value that it takes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: str
    spec: dict[str, Any]
    options: dict[str, Any]
    first: int
    last: int


@dataclass(frozen=True)
class NextEvent:
    """What was at the steps of a modality, ready to be a next-step target.

    Attributes:
        value: (step with events, column), int64 codes, or numbers in the store's own precision.
        observed: which are real; None where all are.
    """

    value: np.ndarray
    observed: np.ndarray | None = None


class Modality(nn.Module):
    """A data type; as a module, its `carry`: (events, timeline, state) → (events, state).

    Constructor: `(spec, *, …options)`; the options are fields of the config, of which `reading` and `fit` see
    all.

    Attributes:
        Spec: class of the facts fitted on the training split.
        gives: the type of its events.
        default_encoder: kind of the encoder where none is chosen.
        spec: what was fitted.
        can_generate: what `next_parts` predicts is all that there is to an event.
        like: an empty tensor of the model's dtype and device.
    """

    Spec: ClassVar[type[Spec]]
    gives: ClassVar[type[Events]]
    default_encoder: ClassVar[str]
    spec: Any
    can_generate: ClassVar[bool] = True
    like: Tensor

    def __init__(self, spec: Any) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("like", torch.empty(0), persistent=False)

    @property
    def read(self) -> Sequence[str]:
        """The columns that hold a raw value."""
        return getattr(self.spec, "columns", "?")

    @classmethod
    @abstractmethod
    def reading(cls, config: Any) -> Reading:
        """The columns that hold the events."""

    @classmethod
    @abstractmethod
    def fit(cls, config: Any, stored: Stored) -> BaseModel:
        """What the training split tells. Raises DataError where there is nothing to learn from."""

    @abstractmethod
    def events(self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]) -> Events:
        """Stored arrays of some events, their codes into the store's vocabularies → event tensors."""

    @abstractmethod
    def parse(self, step: Tensor, values: Sequence[Any]) -> Events:
        """Raw values, one an event, as a program has them → the event tensors a store would give.

        A value is a number or a word where there is one column, else a list of one a column, or a dict by
        column, whose other columns are missing. None is missing.

        Raises:
            DataError: a value is of the wrong type, or names a column that there is not.
        """

    def several(self, value: Any) -> list[Any]:
        """The events of one push: a list of dicts, lists or tuples, or of one-column values, is several."""
        n_columns = len(self.read)
        is_list = isinstance(value, list)
        if is_list and (n_columns == 1 or all(isinstance(one, (Mapping, list, tuple)) for one in value)):
            return value
        return [value]

    def kept(self, value: Any) -> Any:
        """A raw value as it can wait: what it is now, whatever becomes of a file that it names."""
        return value

    @abstractmethod
    def forward(self, events: Any, timeline: Timeline, state: State | None = None) -> tuple[Events, State]:
        """Fills, normalises and ages, knowing what came before; raw values in, ready ones out."""

    def unknown(self, events: Any) -> dict[str, int]:
        """By column, how many values the training split never had, where that is a thing to count."""
        return {}

    def remarks(self) -> dict[str, int]:
        """What was left out of the training split's events, and how often: told before training."""
        return {}

    def next_parts(self) -> list[Part] | None:
        """The heads that predict its next event; None where it has no likelihood."""
        return None

    def next_event(self, events: Any, first: np.ndarray) -> NextEvent:
        """Merges the events that share a step, which begin at `first`, into one target row each."""
        raise NotImplementedError


modalities: Registry[Modality] = Registry("modalities", ModalityConfig)
