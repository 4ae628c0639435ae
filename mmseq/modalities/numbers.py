"""What modalities share that make features of columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import NumericEvents
from mmseq.modalities import Arrays, Modality, Spec, Stored, cells_of, check_some_events
from mmseq.modalities.cells import number_cell
from mmseq.modalities.moments import summary


class NumbersSpec(Spec):
    """Facts of the columns that are read, over the training split.

    Attributes:
        columns: the features of an event, which an encoder reads.
        read: the columns that they are made of.
        mean, std, missing: of each column that is read; std is 1 where it never varies.
        time_scale: a typical time between steps.
        static: numbers belong to the sample, not to a time.
    """

    columns: list[str]
    read: list[str]
    mean: list[float]
    std: list[float]
    missing: list[float]
    time_scale: float
    static: bool


class NumbersModality(Modality):
    """Rows of numbers, any of them missing: how they are read, checked and, by mean and spread, fitted.

    A subclass writes `reading` and `forward`.

    Attributes:
        features: what an event holds after `forward`; empty: one for each column that is read.
    """

    Spec: ClassVar[type[Any]] = NumbersSpec
    gives = NumericEvents
    default_encoder = "linear"
    features: ClassVar[Sequence[str]] = ()

    @property
    def read(self) -> Sequence[str]:
        """The columns that hold a raw value."""
        return self.spec.read

    @classmethod
    def fit(cls, config: Any, stored: Stored) -> Any:
        """Mean and spread of the training split. Raises DataError where it has no event at all."""
        check_some_events(config.table, stored)
        mean, std, missing = summary(stored, None, None)
        return NumbersSpec(
            columns=list(cls.features or stored.columns), read=list(stored.columns), mean=mean.tolist(),
            std=std.tolist(), missing=missing.tolist(), time_scale=stored.time_scale, static=config.static,
        )  # fmt: skip

    def events(
        self, step: Tensor, arrays: Arrays, vocabularies: tuple[tuple[str, ...], ...]
    ) -> NumericEvents:
        values = arrays["values"]
        observed = values == values  # not NaN
        complete = bool(observed.all())
        if not complete:
            values = np.where(observed, values, 0)
        told = NumericEvents(step, torch.from_numpy(values), torch.from_numpy(observed))
        return told.if_complete(complete)

    def parse(self, step: Tensor, values: Sequence[Any]) -> NumericEvents:
        rows = [[number_cell(cell) for cell in cells_of(value, self.read)] for value in values]
        cells = np.array(rows, np.float64).reshape(len(values), len(self.read))
        return self.events(step, {"values": cells}, ())
