"""The run as one tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SerializeAsAny,
    model_validator,
)

from mmseq.balancers import BalancerConfig, balancers
from mmseq.cores import CoreConfig, cores
from mmseq.fusions import FusionConfig, fusions
from mmseq.heads import HeadConfig, heads
from mmseq.modalities import ModalityConfig, modalities
from mmseq.readouts import ReadoutConfig, readouts
from mmseq.sources import SourceConfig, sources


class Section(BaseModel):
    """One part of the tree: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SplitConfig(Section):
    """How samples are divided: by fractions of groups, by a column, or as given."""

    train: float = Field(0.7, gt=0, le=1, description="share of the samples, by whole groups")
    validation: float = Field(0.15, ge=0, lt=1, description="share of the samples")
    test: float = Field(0.15, ge=0, lt=1, description="share of the samples")
    seed: int = Field(0, description="another seed divides the groups otherwise")
    column: str | None = Field(
        None, description="column of the `samples` table that says train, validation or test"
    )
    file: Annotated[Path, Field(strict=False)] | None = Field(
        None, description="JSON file: {train: [ids], validation: [ids], test: [ids]}"
    )


class DataConfig(Section):
    """Where the data are."""

    source: Annotated[SerializeAsAny[SourceConfig], BeforeValidator(sources.parse)]
    samples: str | None = Field(
        None, description="table with one row a sample: ids, group, split, until columns"
    )
    until: str | float | None = Field(
        None, description="column of `samples`, or a time: events later than this are dropped, and counted"
    )
    split: SplitConfig = SplitConfig()
    absent_labels: Literal["error", "drop"] = Field(
        "error", description="labels for samples that do not exist: an error, or dropped and counted"
    )
    store: Annotated[Path, Field(strict=False)] = Field(
        Path(".mmseq/stores"), description="folder for prepared data, below the working directory"
    )
    memory_limit: str = Field("1GB", description="memory that preparation may use, as DuckDB reads it")
    shard_events: PositiveInt = Field(2_000_000, description="events in a shard of the store, about")


class TimelineConfig(Section):
    """How the modalities' clocks are merged."""

    unit: Literal["seconds", "minutes", "hours", "days"] = Field(
        "seconds", description="unit of numeric times, and of all times inside the model"
    )
    resolution: str | None = Field(
        None,
        pattern=r"^\d+(\.\d+)?\s*(s|min|h|d)$",
        description="bin width, such as 30min, 1h: a bin is stamped at its end",
    )
    anchor: str | None = Field(None, description="modality whose clock alone makes steps")


class BatchConfig(Section):
    """How samples are grouped into global batches."""

    samples: PositiveInt | None = Field(
        None, description="samples in a global batch (32 where neither is set)"
    )
    steps: PositiveInt | None = Field(
        None, description="a step budget for a global batch, instead of samples"
    )
    bucket: PositiveInt = Field(
        8, description="batches whose samples are sorted by length together; 1: no bucketing"
    )

    @model_validator(mode="after")
    def _one_size(self) -> BatchConfig:
        if self.samples and self.steps:
            raise ValueError("set `samples` or `steps`, not both")
        return self


class OptimizerConfig(Section):
    """How weights are moved."""

    kind: Literal["adamw", "adam", "sgd"] = "adamw"
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float | None = Field(
        None, ge=0, description="weight decay of matrices; null: 0.01 for adamw, 0 for the others"
    )
    schedule: Literal["constant", "cosine", "linear"] = Field("cosine", description="after the warm-up")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of all steps over which the rate rises")


class TrainingConfig(Section):
    """How the model is trained."""

    epochs: PositiveInt = 20
    batch: BatchConfig = BatchConfig()
    accumulation: PositiveInt = Field(1, description="micro-batches a global batch is split into")
    optimizer: OptimizerConfig = OptimizerConfig()
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    monitor: str | None = Field(
        None, description="task/metric that picks the best epoch; null: the validation loss"
    )
    patience: PositiveInt | None = Field(
        None, description="epochs without a better monitor before training ends"
    )
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: PositiveInt | Literal["auto"] = 1
    threads: PositiveInt | None = Field(None, description="CPU threads; null: as torch chooses")
    workers: int = Field(
        0, ge=0, description="processes that assemble batches; 0 is fastest for small inputs"
    )
    log_every: PositiveInt = Field(10, description="steps between rows of metrics.csv")


def _readouts(value: Any) -> Any:
    return [readouts.parse(v) for v in (value if isinstance(value, list) else [value])]


Modalities = dict[str, Annotated[SerializeAsAny[ModalityConfig], BeforeValidator(modalities.parse)]]
Tasks = dict[str, Annotated[SerializeAsAny[HeadConfig], BeforeValidator(heads.parse)]]


class Experiment(Section):
    """A whole run: data in, model, tasks out, training."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run's folder")
    seed: int = 0
    plugins: list[Annotated[Path, Field(strict=False)]] = []
    data: DataConfig
    timeline: TimelineConfig = TimelineConfig()
    modalities: Modalities = Field(min_length=1)
    fusion: Annotated[SerializeAsAny[FusionConfig], BeforeValidator(fusions.parse)] = Field(
        default_factory=lambda: fusions.parse({"kind": "concat"})
    )
    core: Annotated[SerializeAsAny[CoreConfig], BeforeValidator(cores.parse)]
    readout: Annotated[list[SerializeAsAny[ReadoutConfig]], BeforeValidator(_readouts)] = Field(
        default_factory=lambda: [readouts.parse({"kind": "last"})]
    )
    tasks: Tasks = Field(min_length=1)
    balance: Annotated[SerializeAsAny[BalancerConfig], BeforeValidator(balancers.parse)] = Field(
        default_factory=lambda: balancers.parse({"kind": "fixed"})
    )
    training: TrainingConfig = TrainingConfig()
