"""The calibrations of a model's tasks, as they are kept in its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError
from torch import Tensor

from mmseq.bundle import dump_json
from mmseq.calibration.classes import ClassTask
from mmseq.calibration.evidence import Choice, Evidence, Measures
from mmseq.calibration.ranges import RangeTask
from mmseq.calibration.task import Column
from mmseq.errors import CheckpointError, ConfigError
from mmseq.heads import Head, HeadConfig, Spec
from mmseq.heads.certainty import PredictsClasses, PredictsRanges
from mmseq.heads.labels import join

if TYPE_CHECKING:
    from mmseq.model import Model

CALIBRATION = "calibration.json"
_OF_HEADS: dict[type, type[ClassTask] | type[RangeTask]] = {
    PredictsClasses: ClassTask,
    PredictsRanges: RangeTask,
}


class NoTask(Spec):
    """A task that is predicted as it was.

    Attributes:
        reason: why.
    """

    kind: Literal["none"] = "none"
    reason: str


Fitted = Annotated[ClassTask | RangeTask | NoTask, Field(discriminator="kind")]


class Calibration(Spec):
    """What was fitted on a split, of every task of a model.

    Attributes:
        version: of this format.
        model: the digest of the model that it was fitted for; see `Model.digest`.
        split: whose labels it was fitted to.
        coverage: share of labels that sets and intervals are to hold.
        method: how probabilities of classes were set right.
        unit: what counted as one: a sample, or a group.
        tasks: by name.
    """

    version: Literal[1] = 1
    model: str
    split: str
    coverage: float = Field(gt=0, lt=1)
    method: Literal["temperature", "vector"]
    unit: Literal["sample", "group"]
    tasks: dict[str, Fitted]

    @classmethod
    def parse(cls, told: Any, where: object) -> Calibration:
        """What a bundle's file holds.

        Raises:
            CheckpointError: it is no calibration.
        """
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            problem = " ".join(str(error).splitlines()[1:3])[:200]
            raise CheckpointError(
                f"{where}: must be a calibration; {problem}; it was altered or is of another version: copy "
                "it again"
            ) from error

    def dump(self) -> bytes:
        return dump_json(self.model_dump(mode="json"))

    def check(self, model: Model) -> None:
        """Raises CheckpointError where it was fitted for another model."""
        fits = self.model == model.digest() and self.tasks.keys() == set(model.heads.keys())
        if not fits or not all(_fits(own, model.heads[task]) for task, own in self.tasks.items()):
            raise CheckpointError(
                f"{CALIBRATION}: was fitted for other weights than the model has now; sets and intervals "
                "would not hold; calibrate again with `mmseq calibrate`"
            )

    def apply(self, task: str, head: Head, parameters: Tensor) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Calibrated parameters of a task, and further columns of its predictions."""
        own = self.tasks[task]
        return (parameters, {}) if isinstance(own, NoTask) else own.apply(head, parameters, self.coverage)

    def remarks(self, heads: Mapping[str, Head]) -> list[str]:
        """What is not calibrated, and why."""
        found = []
        for task, own in self.tasks.items():
            if isinstance(own, NoTask):
                found.append(f"{task}: {own.reason}")
            columns = columns_of(own, task, heads[task])
            found += [f"{name}: {column.remark}" for name, column in columns.items() if column.remark]
        return found


def fit_task(config: HeadConfig, evidence: Evidence, choice: Choice) -> tuple[Fitted, list[Measures]]:
    """Fits what calibration there is of a task; also what labels say of it, column by column.

    None of a task whose labels are made of the inputs: they stand at cells that were hidden, or at steps that
    have a later value, while a prediction is told of cells that are seen, and of the last step, which has no
    label. Those are not exchangeable, and what holds for the ones holds for the others by chance.
    """
    fitting = [task for promise, task in _OF_HEADS.items() if isinstance(evidence.head, promise)]
    if fitting and config.told_by is None:
        return fitting[0].fit(evidence, choice)
    reason = "its labels are made of the inputs, and stand at other cells or steps than are predicted"
    if not fitting:
        name = type(evidence.head).__name__
        reason = f"{name} tells neither probabilities of classes nor ranges of numbers"
    return NoTask(reason=f"not calibrated: {reason}"), []


def columns_of(fitted: Fitted, task: str, head: Head) -> dict[str, Column]:
    """What was fitted, by what a column is called, the task before it."""
    if isinstance(fitted, NoTask):
        return {}
    return {join(task, name): own for name, own in zip(fitted.names(head), fitted.columns, strict=True)}


def calibration_of(model: Model) -> Calibration:
    """The calibration that a model carries.

    Raises:
        ConfigError: it has none.
        CheckpointError: it was fitted for other weights.
    """
    if model.calibration is None:
        raise ConfigError(
            "calibrated: the model carries no calibration; make one with `mmseq calibrate RUN`, RUN being "
            "the folder of its run"
        )
    model.calibration.check(model)
    return model.calibration


def _fits(fitted: Fitted, head: Head) -> bool:
    return isinstance(fitted, NoTask) or fitted.fits(head)
