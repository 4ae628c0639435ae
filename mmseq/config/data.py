"""What the user asks about data: where they are, how samples are divided, how clocks are merged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny, model_validator

from mmseq.config.duration import Duration
from mmseq.config.paths import YamlPath
from mmseq.config.section import Section
from mmseq.config.splits import SPLITS
from mmseq.sources import SourceConfig, sources


class SplitConfig(Section):
    """How samples are divided: by fractions of groups, by a column, or as given."""

    train: float = Field(0.7, gt=0, le=1, description="share of the samples, by whole groups")
    validation: float = Field(0.15, ge=0, lt=1, description="share of the samples")
    test: float = Field(0.15, ge=0, lt=1, description="share of the samples")
    seed: int = Field(0, description="another seed divides the groups otherwise")
    column: str | None = Field(
        None, description="column of the `samples` table that says train, validation or test"
    )
    file: YamlPath | None = Field(
        None, description="JSON file: {train: [ids], validation: [ids], test: [ids]}"
    )

    @model_validator(mode="after")
    def _one_way(self) -> SplitConfig:
        if self.column and self.file:
            raise ValueError("has both `column` and `file`; keep one")
        total = sum(getattr(self, name) for name in SPLITS)
        if not (self.column or self.file) and abs(total - 1) > 1e-9:
            shares = " + ".join(f"{name} {getattr(self, name):g}" for name in SPLITS)
            raise ValueError(f"fractions must add up to 1; came {shares} = {total:g}; set all three")
        if (self.column or self.file) and (idle := self._changed(*SPLITS, "seed")):
            raise ValueError(f"a column or a file divides the samples, not {', '.join(idle)}; leave that out")
        return self

    def _changed(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) != type(self).model_fields[name].default]


class DataConfig(Section):
    """Where the data are."""

    source: Annotated[SerializeAsAny[SourceConfig], BeforeValidator(sources.parse)] = Field(
        description="where raw data come from"
    )
    samples: str | None = Field(
        None, description="table with one row a sample: ids, group, split, until columns"
    )
    until: str | float | None = Field(
        None, description="column of `samples`, or a time: events later than this are dropped, and counted"
    )
    split: SplitConfig = Field(SplitConfig(), description="how samples are divided")
    absent_labels: Literal["error", "drop"] = Field(
        "error", description="labels for samples that do not exist: an error, or dropped and counted"
    )
    store: Annotated[Path, Field(strict=False)] = Field(
        Path(".mmseq/stores"), description="folder for prepared data, below the working directory"
    )
    prepared: YamlPath | None = Field(
        None,
        description="folder of a store that another program has written; `source` then only says how raw "
        "data are read later, to predict",
    )
    memory_limit: str = Field(
        "1GB",
        pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$",
        description="memory that preparation may use, such as 500MB or 4GB",
    )
    shard_events: PositiveInt = Field(2_000_000, description="events in a shard of the store, about")


class TimelineConfig(Section):
    """How the modalities' clocks are merged."""

    unit: Literal["seconds", "minutes", "hours", "days"] = Field(
        "seconds", description="unit of numeric times, and of all times inside the model"
    )
    resolution: Duration | None = Field(
        None, description="bin width, such as 30min, 1h: a bin is stamped at its end"
    )
    anchor: str | None = Field(None, description="modality whose clock alone makes steps")
