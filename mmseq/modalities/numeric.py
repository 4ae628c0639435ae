"""Numbers: several features an event, any of them missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import BaseModel, ConfigDict, Field, model_serializer, model_validator
from torch import Tensor, nn

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import latest, one_each, since
from mmseq.modalities import (
    ModalityConfig,
    NextEvent,
    Part,
    Spec,
    Stored,
    check_named_once,
    check_some_events,
    modalities,
)
from mmseq.modalities.extremes import extremes
from mmseq.modalities.moments import percentiles, summary
from mmseq.modalities.numbers import NumbersModality
from mmseq.sources import Pivot, Reading
from mmseq.state import State, part

_FITTED = ("mean", "std", "low", "high")
_FIRST_DECAY = 0.1


class PivotConfig(BaseModel):
    """A long table of (code, value) rows: each code becomes a feature."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    code: str = Field(description="column that says which feature a row holds")
    value: str = Field(description="column with its number")


class NumericConfig(ModalityConfig):
    kind: Literal["numeric"]
    columns: list[str] = Field(
        [], description="columns of numbers; with `pivot`, the codes to keep (empty: all)"
    )
    pivot: PivotConfig | None = Field(None, description="the table is long: one row per (time, code, value)")
    clip: list[Annotated[float, Field(ge=0, le=100)]] | None = Field(
        [0.5, 99.5],
        min_length=2,
        max_length=2,
        description="training percentiles to clip at, inputs and next events alike; null: no clipping",
    )
    fill: Literal["mean", "last", "decay"] = Field(
        "last",
        description="a missing value becomes the training mean, the last value (before any: the mean), or, "
        "with `decay`, what has sunk from the last value to the mean, at a rate learned for each feature",
    )
    extremes: bool = Field(
        False,
        description="also show the least and the greatest value of each feature so far, and how long ago "
        "each was reached; needs `time`",
    )

    @model_validator(mode="after")
    def _something_to_read(self) -> NumericConfig:
        if not self.columns and self.pivot is None:
            raise ValueError("set `columns`, or `pivot` for a long table")
        check_named_once(self.columns)
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("the lower percentile of `clip` must be below the upper one")
        if self.extremes and self.static:
            raise ValueError("`extremes` needs `time`: a static value has none before it; leave it out")
        return self


class NumericSpec(Spec):
    """Facts of each column, over the training split.

    Attributes:
        columns: the features of an event, which an encoder reads: the columns, and with `extremes` the least
            value of each, then the greatest of each.
        mean, std: after clipping.
        low, high: where values are clipped; None: not at all. A feature whose percentiles coincide, though
            it varies, is not.
        missing: share of the cells without a value.
        time_scale: a typical time between steps.
        static: values belong to the sample, not to a time.
        read: the columns.
    """

    columns: list[str]
    mean: list[float]
    std: list[float]
    low: list[float] | None
    high: list[float] | None
    missing: list[float]
    time_scale: float
    static: bool
    read: list[str] = Field(default_factory=lambda known: known["columns"])

    @property
    def has_extremes(self) -> bool:
        """Whether an event also has the least and the greatest values so far."""
        return len(self.columns) > len(self.read)

    @model_serializer(mode="wrap")
    def _as_ever(self, dump: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Without extremes as before there were any: a digest of older facts stays what it was."""
        told = dump(self)
        if not self.has_extremes:
            told.pop("read", None)
        return told


@modalities.register(NumericConfig)
class NumericModality(NumbersModality):
    """Normalises, clips and fills numbers, and tells how old each last value is.

    With `fill: decay` a missing value is γ · last + (1 - γ) · mean, γ = exp(-max(0, w · age + b)), with the
    age δ of the last value as log(1 + δ / the time scale), and with w and b of each feature. Normalised, the
    mean is 0. The decay begins mild (w = 0.1: after ten typical steps four fifths are left), and with a
    gradient (b = 0). Static values are filled with the mean.

    Source: Che et al. 2018, "Recurrent neural networks for multivariate time series with missing values",
    eq. 10 and 11; the age in place of δ keeps values of very unequal ages apart.

    With `extremes` the least and the greatest value of each column so far, up to and with the step, are
    features too: observed where they are reached, and as old as that is. State: as `latest`, and `extremes`.

    A column that the training split never observed is observed nowhere: no weight has learned its scale.
    """

    Spec = NumericSpec

    def __init__(self, spec: NumericSpec, *, fill: Literal["mean", "last", "decay"]) -> None:
        super().__init__(spec)
        self.fill = fill
        self.decays = fill == "decay" and not spec.static
        if self.decays:
            self.decay_weight = nn.Parameter(torch.full((len(spec.read),), _FIRST_DECAY))
            self.decay_bias = nn.Parameter(torch.zeros(len(spec.read)))
        self.has_extremes = spec.has_extremes
        self.all_seen = all(share < 1 for share in spec.missing)
        for name in (*_FITTED, "seen"):
            self.register_buffer(name, None, persistent=False)
        self._set_fitted()

    def _set_fitted(self) -> None:
        for name in _FITTED:
            values = getattr(self.spec, name)
            if values is not None:
                setattr(self, name, torch.tensor(values, dtype=torch.float64, device=self.like.device))
        self.seen = torch.tensor(self.spec.missing, device=self.like.device) < 1
        # Plain attributes too: a module looks its buffers up slowly, and a live event needs them all.
        self._facts = (self.low, self.high, self.mean, self.std)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> NumericModality:
        """Moves and casts, but not what was fitted: raw values may need all of its digits."""
        super()._apply(function, recurse)
        self._set_fitted()
        return self

    mean: Tensor
    std: Tensor
    low: Tensor | None
    high: Tensor | None
    seen: Tensor

    @classmethod
    def reading(cls, config: NumericConfig) -> Reading:
        pivot = None if config.pivot is None else Pivot(config.pivot.code, config.pivot.value)
        return Reading(config.table, config.time, numbers=tuple(config.columns), pivot=pivot)

    @classmethod
    def fit(cls, config: NumericConfig, stored: Stored) -> NumericSpec:
        """Mean, spread and percentiles of the training split, in two passes.

        Raises:
            DataError: the training split has no event at all.
        """
        check_some_events(config.table, stored)
        low, high = percentiles(stored, config.clip)
        mean, std, missing = summary(stored, low, high)
        read = list(stored.columns)
        more = [f"{word} {column}" for word in ("least", "greatest") for column in read if config.extremes]
        return NumericSpec(
            columns=[*read, *more], read=read, mean=mean.tolist(), std=std.tolist(), missing=missing.tolist(),
            low=None if low is None else low.tolist(), high=None if high is None else high.tolist(),
            time_scale=stored.time_scale, static=config.static,
        )  # fmt: skip

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        observed = events.observed if self.all_seen else events.observed & self.seen
        step, values, complete = events.step, self.normalise(events.values), events.complete and self.all_seen
        ready, after = self._fill(step, values, observed, complete, timeline, state)
        if not self.has_extremes:
            return ready, after
        extreme, time, reached = extremes(values, observed, step, timeline, part(state, "extremes"))
        age = self._age(time, step, timeline)
        with_extremes = NumericEvents(
            step,
            torch.cat([ready.values, extreme], 1),
            torch.cat([observed, age == 0], 1),
            torch.cat([torch.zeros_like(ready.values) if ready.age is None else ready.age, age], 1),
        )
        return with_extremes, {**after, "extremes": reached}

    def _fill(
        self,
        step: Int64[Tensor, "event"],
        values: Float[Tensor, "event feature"],
        observed: Bool[Tensor, "event feature"],
        complete: bool,
        timeline: Timeline,
        state: State | None,
    ) -> tuple[NumericEvents, State]:
        """Normalised events → each column filled, and aged; `complete` ones miss no value."""
        alone = not timeline.continues and state is None
        live = timeline.is_one_step and not self.spec.static and one_each(step, timeline)
        if (alone or live) and complete and not self.decays:  # as often: nothing to fill or learn
            time = timeline.time[:, None].expand_as(values) if live else timeline.time
            after = {} if alone else {"value": values, "time": time}
            return NumericEvents(step, values, observed, torch.zeros_like(values)), after
        values = torch.where(observed, values, 0)
        if self.spec.static:
            age = observed.to(values.dtype) - 1
            return NumericEvents(step, values, observed, age), {}
        last, time, state = latest(values, observed, step, timeline, state)
        age = self._age(time, step, timeline)
        if self.decays:
            decay = torch.addcmul(self.decay_bias, self.decay_weight, age).relu().neg().exp()
            last = torch.where(observed, values, decay * last)
        return NumericEvents(step, values if self.fill == "mean" else last, observed, age), state

    def _age(
        self, time: Float[Tensor, "event feature"], step: Int64[Tensor, "event"], timeline: Timeline
    ) -> Float[Tensor, "event feature"]:
        """How long before each event these times are; -1 where there is none."""
        return since(timeline.time[step][:, None] - time, self.spec.time_scale).to(self.like.dtype)

    def normalise(self, values: Float[Tensor, "event feature"]) -> Float[Tensor, "event feature"]:
        """Raw → clipped, mean 0 and spread 1 over the training split, in the model's own precision."""
        low, high, mean, std = self._facts
        values = values.to(mean)
        if low is not None:
            values = torch.clamp(values, low, high)
        return values.sub(mean).div_(std).to(self.like.dtype)

    def unknown(self, events: NumericEvents) -> dict[str, int]:
        if self.all_seen:
            return {}
        counts = events.observed.sum(0).tolist()
        never = [share == 1 for share in self.spec.missing]
        return {c: n for c, n, new in zip(self.spec.read, counts, never, strict=True) if new and n}

    def next_parts(self) -> list[Part]:
        spec = {"columns": self.spec.read, "mean": self.spec.mean, "std": self.spec.std}
        options = {"loss": "gaussian", "transform": None}
        last = len(self.spec.read)
        return [Part(name="", kind="regression", spec=spec, options=options, first=0, last=last)]

    def next_event(self, events: NumericEvents, first: np.ndarray) -> NextEvent:
        """The mean of each feature over the events of a step, clipped as the inputs are.

        The head's mean and standard deviation are of clipped values: it learns no outlier beyond them.
        """
        observed = events.observed.numpy() & (np.array(self.spec.missing) < 1)
        values = events.values.numpy()
        if self.spec.low is not None:
            values = np.clip(values, self.spec.low, self.spec.high)
        if len(first) == len(events):
            return NextEvent(values, observed)
        count = np.add.reduceat(observed.astype(np.float32), first, axis=0)
        total = np.add.reduceat(values * observed, first, axis=0)
        return NextEvent(total / np.maximum(count, 1), count > 0)
