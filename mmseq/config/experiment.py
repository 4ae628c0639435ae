"""The run as one tree."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from mmseq.balancers import BalancerConfig, balancers
from mmseq.config.checks import contradictions
from mmseq.config.data import DataConfig, SplitConfig, TimelineConfig
from mmseq.config.paths import YamlPath
from mmseq.config.section import Section
from mmseq.config.training import BatchConfig, OptimizerConfig, TrainingConfig
from mmseq.cores import CoreConfig, cores
from mmseq.encoders import encoders
from mmseq.fusions import FusionConfig, fusions
from mmseq.heads import HeadConfig, heads
from mmseq.modalities import ModalityConfig, modalities
from mmseq.readouts import ReadoutConfig, readouts

__all__ = [
    "BatchConfig",
    "DataConfig",
    "Experiment",
    "OptimizerConfig",
    "SplitConfig",
    "TimelineConfig",
    "TrainingConfig",
]


def _word(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"a name has letters, digits, _ and - only; came {name[:60]!r}; it becomes part of others, "
            "such as level/f1_macro"
        )
    return name


def _with_encoder(config: ModalityConfig) -> ModalityConfig:
    """Writes the kind's default encoder down, so that the tree says all there is."""
    if config.encoder is not None:
        return config
    kind = modalities.component_class(config.kind).default_encoder
    return config.model_copy(update={"encoder": encoders.parse({"kind": kind})})


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _once(paths: list[Path]) -> list[Path]:
    return list(dict.fromkeys(paths))


Name = Annotated[str, AfterValidator(_word)]
Modality = Annotated[
    SerializeAsAny[ModalityConfig], BeforeValidator(modalities.parse), AfterValidator(_with_encoder)
]
Task = Annotated[SerializeAsAny[HeadConfig], BeforeValidator(heads.parse)]
Readout = Annotated[SerializeAsAny[ReadoutConfig], BeforeValidator(readouts.parse)]


class Experiment(Section):
    """A whole run: data in, model, tasks out, training."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="name of the run's folder: letters, digits, . _ -",
    )
    seed: int = Field(0, ge=0, description="another seed gives another run of everything random")
    plugins: Annotated[list[YamlPath], AfterValidator(_once)] = Field(
        [], description="single-file plugins to import"
    )
    data: DataConfig = Field(description="where the data are")
    timeline: TimelineConfig = Field(TimelineConfig(), description="how the modalities' clocks are merged")
    modalities: dict[Name, Modality] = Field(min_length=1, description="inputs, by name")
    fusion: Annotated[SerializeAsAny[FusionConfig], BeforeValidator(fusions.parse)] = Field(
        default_factory=lambda: fusions.parse({"kind": "concat"}),
        description="how the modalities of a step become one vector",
    )
    core: Annotated[SerializeAsAny[CoreConfig], BeforeValidator(cores.parse)] = Field(
        description="what runs over the steps and remembers"
    )
    readout: Annotated[
        list[Readout], BeforeValidator(_as_list, json_schema_input_type=Readout | list[Readout])
    ] = Field(
        default_factory=lambda: [readouts.parse({"kind": "last"})],
        min_length=1,
        description="how the steps so far become one vector; several stand side by side",
    )
    tasks: dict[Name, Task] = Field(min_length=1, description="outputs, by name")
    balance: Annotated[SerializeAsAny[BalancerConfig], BeforeValidator(balancers.parse)] = Field(
        default_factory=lambda: balancers.parse({"kind": "fixed"}),
        description="how the tasks' losses become one",
    )
    training: TrainingConfig = Field(TrainingConfig(), description="how the model is trained")

    @model_validator(mode="after")
    def _parts_fit(self) -> Experiment:
        found = [
            InitErrorDetails(
                type=PydanticCustomError("contradiction", "{message}", {"message": message}),
                loc=loc,
                input=None,
            )
            for loc, message in contradictions(self)
        ]
        if found:
            raise ValidationError.from_exception_data("Experiment", found)
        return self
