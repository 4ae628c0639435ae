"""Numbers: several features an event, any of them missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from mmseq.batch import NumericEvents, Timeline
from mmseq.carry import latest, one_each, since
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
from mmseq.modalities.cells import number_cell
from mmseq.modalities.moments import percentiles, summary
from mmseq.sources import Pivot, Reading
from mmseq.state import State

_FITTED = ("mean", "std", "low", "high")
_FIRST_DECAY = 0.1


class PivotConfig(BaseModel):
    """A long table of (code, value) rows: each code becomes a feature."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    code: str = Field(description="column that says which feature a row holds")
    value: str = Field(description="column with its number")


class NumericColumns(ModalityConfig):
    """What is read and fitted."""

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

    @model_validator(mode="after")
    def _something_to_read(self) -> NumericColumns:
        if not self.columns and self.pivot is None:
            raise ValueError("set `columns`, or `pivot` for a long table")
        check_named_once(self.columns)
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("the lower percentile of `clip` must be below the upper one")
        return self


class NumericConfig(NumericColumns):
    kind: Literal["numeric"]
    fill: Literal["mean", "last", "decay"] = Field(
        "last",
        description="a missing value becomes the training mean, the last value (before any: the mean), or, "
        "with `decay`, what has sunk from the last value to the mean, at a rate learned for each feature",
    )


class NumericSpec(Spec):
    """Facts of each feature, over the training split.

    Attributes:
        columns: names.
        mean, std: after clipping.
        low, high: where values are clipped; None: not at all. A feature whose percentiles coincide, though
            it varies, is not.
        missing: share of the cells without a value.
        time_scale: a typical time between steps.
        static: values belong to the sample, not to a time.
    """

    columns: list[str]
    mean: list[float]
    std: list[float]
    low: list[float] | None
    high: list[float] | None
    missing: list[float]
    time_scale: float
    static: bool


@modalities.register(NumericConfig)
class NumericModality(Modality):
    """Normalises, clips and fills numbers, and tells how old each last value is.

    With `fill: decay` a missing value is γ · last + (1 - γ) · mean, γ = exp(-max(0, w · age + b)), with the
    age δ of the last value as log(1 + δ / the time scale), and with w and b of each feature. Normalised, the
    mean is 0. The decay begins mild (w = 0.1: after ten typical steps four fifths are left), and with a
    gradient (b = 0). Static values are filled with the mean.

    Source: Che et al. 2018, "Recurrent neural networks for multivariate time series with missing values",
    eq. 10 and 11; the age in place of δ keeps values of very unequal ages apart.

    A feature that the training split never observed is observed nowhere: no weight has learned its scale.
    """

    Spec = NumericSpec
    gives = NumericEvents
    default_encoder = "linear"

    def __init__(self, spec: NumericSpec, *, fill: Literal["mean", "last", "decay"]) -> None:
        super().__init__()
        self.spec = spec
        self.fill = fill
        self.decays = fill == "decay" and not spec.static
        if self.decays:
            self.decay_weight = nn.Parameter(torch.full((len(spec.columns),), _FIRST_DECAY))
            self.decay_bias = nn.Parameter(torch.zeros(len(spec.columns)))
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
    def reading(cls, config: NumericColumns) -> Reading:
        pivot = None if config.pivot is None else Pivot(config.pivot.code, config.pivot.value)
        return Reading(config.table, config.time, numbers=tuple(config.columns), pivot=pivot)

    @classmethod
    def fit(cls, config: NumericColumns, stored: Stored) -> NumericSpec:
        """Mean, spread and percentiles of the training split, in two passes.

        Raises:
            DataError: the training split has no event at all.
        """
        check_some_events(config.table, stored)
        low, high = percentiles(stored, config.clip)
        mean, std, missing = summary(stored, low, high)
        return NumericSpec(
            columns=list(stored.columns), mean=mean.tolist(), std=std.tolist(), missing=missing.tolist(),
            low=None if low is None else low.tolist(), high=None if high is None else high.tolist(),
            time_scale=stored.time_scale, static=config.static,
        )  # fmt: skip

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> NumericEvents:
        values = arrays["values"]
        observed = values == values  # not NaN
        complete = bool(observed.all())
        if not complete:
            values = np.where(observed, values, 0)
        told = torch.from_numpy(values), torch.from_numpy(observed)
        return NumericEvents(step, *told, complete=complete)

    def parse(self, step: Tensor, values: Sequence[Any]) -> NumericEvents:
        rows = [[number_cell(cell) for cell in cells_of(value, self.spec.columns)] for value in values]
        cells = np.array(rows, np.float64).reshape(len(values), len(self.spec.columns))
        return self.events(step, {"values": cells}, ())

    def forward(
        self, events: NumericEvents, timeline: Timeline, state: State | None = None
    ) -> tuple[NumericEvents, State]:
        observed = events.observed if self.all_seen else events.observed & self.seen
        values = self.normalise(events.values)
        alone = not timeline.continues and state is None
        live = timeline.is_one_step and not self.spec.static and one_each(events.step, timeline)
        complete = events.complete and self.all_seen
        if (alone or live) and complete and not self.decays:  # as often: nothing to fill or learn
            time = timeline.time[:, None].expand_as(values) if live else timeline.time
            after = {} if alone else {"value": values, "time": time}
            return NumericEvents(events.step, values, observed, torch.zeros_like(values)), after
        values = torch.where(observed, values, 0)
        if self.spec.static:
            age = observed.to(values.dtype) - 1
            return NumericEvents(events.step, values, observed, age), {}
        last, time, state = latest(values, observed, events.step, timeline, state)
        age = since(timeline.time[events.step][:, None] - time, self.spec.time_scale).to(values.dtype)
        if self.decays:
            decay = torch.addcmul(self.decay_bias, self.decay_weight, age).relu().neg().exp()
            last = torch.where(observed, values, decay * last)
        return NumericEvents(events.step, values if self.fill == "mean" else last, observed, age), state

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
        return {c: n for c, n, new in zip(self.spec.columns, counts, never, strict=True) if new and n}

    def next_parts(self) -> list[Part]:
        spec = {"columns": self.spec.columns, "mean": self.spec.mean, "std": self.spec.std}
        options = {"loss": "gaussian", "transform": None}
        last = len(self.spec.columns)
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
