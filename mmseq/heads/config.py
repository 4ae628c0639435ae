"""What the configs of heads have in common: where the labels are, and what the task weighs."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from mmseq.config.duration import Duration
from mmseq.registry import ComponentConfig


class HeadConfig(ComponentConfig):
    """Base of every head's config."""

    weight: NonNegativeFloat = Field(1.0, description="weight of the task's loss; 0 leaves it untrained")

    @property
    def by_step(self) -> bool:
        """Whether its labels belong to steps, and so read the core; else the readouts of a whole sample."""
        return False

    @property
    def told_by(self) -> str | None:
        """The timed modality whose own events are its labels; None: they are read from a table."""
        return None

    @property
    def looks_ahead(self) -> bool:
        """Whether its labels are later than the steps that predict them, which no input may have seen."""
        return self.told_by is not None


class EventsConfig(HeadConfig):
    """Base of the config of a head whose labels are a modality's own events."""

    modality: str

    @property
    def by_step(self) -> bool:
        return True

    @property
    def told_by(self) -> str:
        return self.modality


class HidingConfig(EventsConfig):
    """Base of the config of a head whose labels are cells of a numeric modality, hidden from all inputs."""

    modality: str = Field(description="numeric modality with a clock, whose missing cells are predicted")
    hide: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="share of the observed cells that is hidden, in training anew for each sample and step",
    )

    @property
    def looks_ahead(self) -> bool:
        return False


class Horizon(BaseModel):
    """What a number or a word of a modality will be, some time after each step.

    Of a step at time t, the label is the last value that is observed in (t, t + horizon].
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    modality: str = Field(description="modality that has it, numeric or category, with a clock")
    feature: str = Field(description="its column, or its code where the modality has a `pivot`")
    horizon: Duration = Field(description="how far ahead, such as 30min, 2h, 7d")


class LabelConfig(HeadConfig):
    """Base of the config of a head whose labels are read from a table."""

    table: str = Field(description="table that holds the labels")
    time: str | None = Field(None, description="time column of the labels; none: one label a sample")

    @property
    def by_step(self) -> bool:
        return self.time is not None


class TargetConfig(LabelConfig):
    """Base of the config of a head whose labels are read from a table, or are later values of a modality."""

    table: str = Field("", description="table that holds the labels; none with `target`")
    target: Horizon | None = Field(
        None, description="labels are later values of a modality, instead of a table's; null: a table's"
    )

    required: ClassVar[tuple[str, ...]] = ("table",)

    @model_validator(mode="after")
    def _labels_of_one_place(self) -> TargetConfig:
        if self.target is None:
            if missing := [name for name in self.required if not getattr(self, name)]:
                raise _missing(missing, self)
        elif given := [n for n in ("table", "time", "column", "columns") if getattr(self, n, None)]:
            raise ValueError(f"has both `target` and `{given[0]}`; keep one: a target needs no table")
        return self

    @property
    def by_step(self) -> bool:
        return self.target is not None or super().by_step

    @property
    def told_by(self) -> str | None:
        return None if self.target is None else self.target.modality


class ColumnConfig(TargetConfig):
    """Base of the config of a head that reads one column."""

    column: str = Field("", description="column that holds the labels; none with `target`")

    required = ("table", "column")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column,)


class ColumnsConfig(TargetConfig):
    """Base of the config of a head that reads one column or several."""

    column: str | None = Field(None, description="the column that holds the labels, where there is one")
    columns: list[str] | None = Field(
        None, min_length=1, description="the columns that hold the labels, where there are several"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ColumnsConfig:
        if self.target is None and (self.column is None) == (self.columns is None):
            raise ValueError("needs either `column` or `columns`")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"columns: each may be named once; got {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, however they were given; of a target, its feature."""
        if self.target is not None:
            return (self.target.feature,)
        return (self.column,) if self.column is not None else tuple(self.columns or ())


def _missing(fields: list[str], config: Any) -> ValidationError:
    """As pydantic tells of fields that are required."""
    details = [InitErrorDetails(type="missing", loc=(field,), input=config) for field in fields]
    return ValidationError.from_exception_data(type(config).__name__, details)
