"""What was observed, and at which step."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

# Not typing.Self: the shape checker of the tests cannot read it.
EventsType = TypeVar("EventsType", bound="Events")


@dataclass(frozen=True)
class Events:
    """The events of one modality, sorted by step.

    Attributes:
        step: the step that each event belongs to; of a static modality, the sample.

    Raises:
        ValueError: dtypes, ranks or lengths disagree.
    """

    step: Int64[Tensor, "event"]

    def __post_init__(self) -> None:
        if self.step.dtype != torch.int64 or self.step.ndim != 1:
            raise ValueError(f"{type(self).__name__}.step: needs int64 of shape (event,)")
        n = self.step.shape[0]
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and value.shape[0] != n:
                raise ValueError(f"{type(self).__name__}.{name}: has {value.shape[0]} rows for {n} events")

    def __len__(self) -> int:
        return self.step.shape[0]

    def take(self: EventsType, rows: Int64[Tensor, "row"]) -> EventsType:
        """Some of the events."""
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.index_select(0, rows) for name, value in tensors.items()})

    def to(self: EventsType, device: Any) -> EventsType:
        tensors = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in tensors.items() if isinstance(v, Tensor)})


@dataclass(frozen=True)
class NumericEvents(Events):
    """Numbers, several features an event.

    Attributes:
        values: raw values as read; after the modality's `carry`, filled and normalised.
        observed: true where a feature has a real value.
        age: log1p of the time since each feature was last observed, in typical step lengths; 0 where it
            is observed now, -1 where it never was. Set by the modality's `carry`.
    """

    values: Float[Tensor, "event feature"]
    observed: Bool[Tensor, "event feature"]
    age: Float[Tensor, "event feature"] | None = None


@dataclass(frozen=True)
class CategoryEvents(Events):
    """Codes, several features (columns) an event.

    Attributes:
        code: 0 where missing, 1 where unknown to the vocabulary, then the known ones.
        word: a number for the raw text, by which unknown codes too can be told apart; None where nobody
            asks for it.
    """

    code: Int64[Tensor, "event feature"]
    word: Int64[Tensor, "event feature"] | None = None


@dataclass(frozen=True)
class VectorEvents(Events):
    """Arrays of one shape.

    Attributes:
        values: raw as read; after the modality's `carry`, normalised.
    """

    values: Float[Tensor, "event ..."]
