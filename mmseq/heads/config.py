"""What the configs of heads have in common: where the labels are, and what the task weighs."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, model_validator

from mmseq.registry import ComponentConfig


class HeadConfig(ComponentConfig):
    """Base of every head's config."""

    weight: NonNegativeFloat = Field(1.0, description="weight of the task's loss; 0 leaves it untrained")

    @property
    def by_step(self) -> bool:
        """Whether its labels belong to steps, and so read the core; else the readouts of a whole sample."""
        return False


class LabelConfig(HeadConfig):
    """Base of the config of a head whose labels are read from a table."""

    table: str = Field(description="table that holds the labels")
    time: str | None = Field(None, description="time column of the labels; none: one label a sample")

    @property
    def by_step(self) -> bool:
        return self.time is not None


class ColumnConfig(LabelConfig):
    """Base of the config of a head that reads one column."""

    column: str = Field(description="column that holds the labels")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.column,)


class ColumnsConfig(LabelConfig):
    """Base of the config of a head that reads one column or several."""

    column: str | None = Field(None, description="the column that holds the labels, where there is one")
    columns: list[str] | None = Field(
        None, min_length=1, description="the columns that hold the labels, where there are several"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> ColumnsConfig:
        if (self.column is None) == (self.columns is None):
            raise ValueError("needs either `column` or `columns`")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"columns: each may be named once; got {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, however they were given."""
        return (self.column,) if self.column is not None else tuple(self.columns or ())
