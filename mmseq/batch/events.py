"""What was observed, and at which step."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

# Not typing.Self: the shape checker of the tests cannot read it.
EventsType = TypeVar("EventsType", bound="Events")


@dataclass(frozen=True)
class Events:
    """The events of one modality, sorted by step.

    Attributes:
        step: the step that each event belongs to; of a static modality, the sample.
        ragged: names of the tensors that do not have one row an event.

    Raises:
        ValueError: dtypes, ranks or lengths disagree.
    """

    step: Int64[Tensor, "event"]

    ragged: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if self.step.dtype != torch.int64 or self.step.ndim != 1:
            raise ValueError(f"{type(self).__name__}.step: needs int64 of shape (event,)")
        n = self.step.shape[0]
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and name not in self.ragged and value.shape[0] != n:
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
        complete: every feature of every event is known to have a real value: told by the host that read
            them, see `if_complete`, so that no device has to be asked. `dataclasses.replace` forgets it.
    """

    values: Float[Tensor, "event feature"]
    observed: Bool[Tensor, "event feature"]
    age: Float[Tensor, "event feature"] | None = None
    complete: bool = field(default=False, init=False)

    def if_complete(self, complete: bool) -> NumericEvents:
        """These events, from now on told to be complete, or not."""
        vars(self)["complete"] = complete
        return self

    def take(self, rows: Int64[Tensor, "row"]) -> NumericEvents:
        return super().take(rows).if_complete(self.complete)

    def to(self, device: Any) -> NumericEvents:
        return super().to(device).if_complete(self.complete)


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
class MeasurementEvents(Events):
    """A code an event, each with a number, or a text, or neither.

    Attributes:
        code: 0 where missing, 1 where rare in the training split, then the known ones; raw, -1 where it is
            not in it at all, which the modality's `carry` takes for a rare one.
        values: raw values as read; after the modality's `carry`, normalised code by code, 0 where none.
        observed: true where there is a number.
        text: 0 where missing, 1 where unknown to the vocabulary, then the known ones; None where the
            modality reads none.
    """

    code: Int64[Tensor, "event"]
    values: Float[Tensor, "event"]
    observed: Bool[Tensor, "event"]
    text: Int64[Tensor, "event"] | None = None


@dataclass(frozen=True)
class VectorEvents(Events):
    """Arrays of one shape.

    Attributes:
        values: raw as read; after the modality's `carry`, normalised.
    """

    values: Float[Tensor, "event ..."]


@dataclass(frozen=True)
class TextEvents(Events):
    """Texts as numbers of tokens, side by side.

    Attributes:
        token: of all events, one after the other.
        starts: the first token of each event, and the number of tokens at the end.
    """

    token: Int64[Tensor, "token"]
    starts: Int64[Tensor, "bound"]

    ragged: ClassVar[tuple[str, ...]] = ("token", "starts")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.starts.shape != (len(self) + 1,) or self.starts.dtype != torch.int64:
            raise ValueError("TextEvents.starts: needs int64 of shape (event + 1,)")

    @cached_property
    def lengths(self) -> Int64[Tensor, "event"]:
        """Tokens of each event."""
        return self.starts.diff()

    @cached_property
    def event(self) -> Int64[Tensor, "token"]:
        """The event that each token belongs to."""
        index = torch.arange(len(self), device=self.starts.device)
        return index.repeat_interleave(self.lengths, output_size=len(self.token))

    def take(self, rows: Int64[Tensor, "row"]) -> TextEvents:
        lengths = self.lengths.index_select(0, rows)
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        first = (self.starts.index_select(0, rows) - starts[:-1]).repeat_interleave(lengths)
        token = self.token.index_select(0, first + torch.arange(len(first), device=first.device))
        return TextEvents(self.step.index_select(0, rows), token, starts)


@dataclass(frozen=True)
class ImageEvents(Events):
    """Frames of one size.

    Attributes:
        values: raw bytes, uint8, as read; after the modality's `carry`, normalised numbers.
    """

    values: Shaped[Tensor, "event height width channel"]


@dataclass(frozen=True)
class WaveformEvents(Events):
    """Windows of a signal.

    Attributes:
        values: raw as read; after the modality's `carry`, normalised.
    """

    values: Float[Tensor, "event time channel"]
