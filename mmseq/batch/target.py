"""The observed labels of one task in a batch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from mmseq.batch.candidates import Candidates

# Not typing.Self: the shape checker of the tests cannot read it.
TargetType = TypeVar("TargetType", bound="Target")


@dataclass(frozen=True)
class Target:
    """Observed labels only: a sample or a step without one has no row here.

    Attributes:
        where: the step that predicts the label (for a label of the whole sample, its last step).
        value: int64 class indices (label,), or numbers (label, column).
        observed: which columns of `value` are real; None where all are.
        weight: share of one label that this row carries; 1 but for labels spread over steps.
        previous: for a next-step task, the last value known at `where`, which its baseline predicts;
            missing columns are NaN.
        wait: for a next-step task, the time from `where` to the event that is to be predicted.
        other: for a next event told apart by contrast, which of the steps drawn are others than its own;
            `value` is then 0, the place of the next event before them.
        candidates: that event and those that were drawn, for the model to encode; the loss needs none of it.

    Raises:
        ValueError: dtypes, ranks or lengths disagree.
    """

    where: Int64[Tensor, "label"]
    value: Shaped[Tensor, "label ..."]
    observed: Bool[Tensor, "label column"] | None = None
    weight: Float[Tensor, "label"] | None = None
    previous: Float[Tensor, "label column"] | None = None
    wait: Float[Tensor, "label"] | None = None
    other: Bool[Tensor, "label negative"] | None = None
    candidates: Candidates | None = None

    def __post_init__(self) -> None:
        if self.where.dtype != torch.int64 or self.where.ndim != 1:
            raise ValueError("Target.where: needs int64 of shape (label,)")
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and len(value) != len(self.where):
                raise ValueError(f"Target.{field.name}: has {len(value)} rows for {len(self.where)} labels")
        if self.observed is not None and self.observed.shape != self.value.shape:
            raise ValueError("Target.observed: needs the shape of Target.value")

    def __len__(self) -> int:
        return len(self.where)

    def take(self: TargetType, rows: Int64[Tensor, "row"]) -> TargetType:
        """Some of the labels."""

        def some(value: Any) -> Any:
            return value.take(rows) if isinstance(value, Candidates) else value.index_select(0, rows)

        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: some(v) for k, v in given.items() if v is not None})

    def to(self: TargetType, device: Any) -> TargetType:
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in given.items() if v is not None})
