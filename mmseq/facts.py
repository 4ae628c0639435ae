"""What was fitted on the training split: the numbers that a model carries beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from mmseq.config.experiment import Experiment
from mmseq.heads import heads
from mmseq.modalities import modalities


@dataclass(frozen=True)
class Facts:
    """Everything fitted.

    Attributes:
        time_scale: the typical time between steps, in the timeline's unit.
        modalities: each modality's spec.
        tasks: each task's spec.
        clock: whether raw times are numbers in the timeline's unit, or moments.
    """

    time_scale: float
    modalities: dict[str, Any]
    tasks: dict[str, Any]
    clock: Literal["number", "moment"] = "number"

    def to_json(self) -> dict[str, Any]:
        dump = {
            part: {name: spec.model_dump(mode="json") for name, spec in getattr(self, part).items()}
            for part in ("modalities", "tasks")
        }
        return {"time_scale": self.time_scale, "clock": self.clock, **dump}

    @classmethod
    def from_json(cls, facts: dict[str, Any], experiment: Experiment) -> Facts:
        """Reads facts back. Raises pydantic.ValidationError where they are not of the components' form."""

        def specs(part: str, registry: Any, configs: Any) -> dict[str, BaseModel]:
            return {
                name: registry.component_class(configs[name].kind).Spec.model_validate(spec)
                for name, spec in facts[part].items()
            }

        return cls(
            facts["time_scale"],
            specs("modalities", modalities, experiment.modalities),
            specs("tasks", heads, experiment.tasks),
            facts["clock"],
        )
