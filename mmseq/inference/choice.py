"""What is generated, and how it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmseq.errors import ConfigError
from mmseq.given import check_number
from mmseq.heads.next_step import NextEventConfig, NextStepHead

if TYPE_CHECKING:
    from mmseq.model import Model


@dataclass(frozen=True)
class Choice:
    """How paths are drawn.

    Attributes:
        n: paths a sample.
        steps: events' times that a path has at most; None: no limit.
        horizon: how long a path goes on after the sample's last step, in the timeline's unit.
        temperature: below 1 draws nearer to what is most probable, which 0 takes; above 1, wider.
        top_k: draw from so many classes, the most probable ones; None: from all.
        seed: another seed draws other paths.

    Raises:
        ConfigError: a value is out of its range, or nothing says when to stop.
    """

    n: int = 1
    steps: int | None = None
    horizon: float | None = None
    temperature: float = 1.0
    top_k: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.horizon is None:
            raise ConfigError("generate: something must say when to stop; neither came; set steps or horizon")
        for name, least in (("n", 1), ("steps", 1), ("top_k", 1)):
            value = getattr(self, name)
            if value is not None:
                check_number(f"generate: {name}", value, whole=True)
                if value < least:
                    raise ConfigError(f"generate: {name} must be at least {least}; {value} came")
        check_number("generate: seed", self.seed, whole=True)
        check_number("generate: temperature", self.temperature)
        if self.horizon is not None:
            check_number("generate: horizon, in the timeline's unit,", self.horizon)
        if self.horizon is not None and not 0 < self.horizon < math.inf:
            raise ConfigError(f"generate: horizon must be a time above 0; {self.horizon:g} came")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"generate: temperature must be 0 or above; {self.temperature:g} came")


@dataclass(frozen=True)
class Clock:
    """A modality that a model can generate.

    Attributes:
        modality: its name.
        task: what predicts its next event.
        head: of the task, which has a likelihood.
        own: the task predicts from the modality's own steps only.
    """

    modality: str
    task: str
    head: NextStepHead
    own: bool


def clocks_of(model: Model) -> list[Clock]:
    """The modalities that a model can generate.

    Raises:
        ConfigError: there is none, two tasks predict one, one of them does not make steps, or only a part of
            its next event is predicted.
    """
    clocks: dict[str, Clock] = {}
    contrasted: list[str] = []
    anchor = model.experiment.timeline.anchor
    for task, head in model.heads.items():
        config = model.experiment.tasks[task]
        if not (isinstance(config, NextEventConfig) and isinstance(head, NextStepHead) and head.time):
            continue
        if head.negatives:  # it can tell an event apart, and draw none
            contrasted.append(task)
            continue
        if config.modality in clocks:
            raise ConfigError(
                f"generate: one task may predict when the next of {config.modality!r} comes; "
                f"{clocks[config.modality].task!r} and {task!r} do; set time: false for one, and train again"
            )
        if anchor not in (None, config.modality):
            raise ConfigError(
                f"generate: with timeline.anchor {anchor!r} no other modality makes steps, and {task!r} "
                f"predicts when the next of {config.modality!r} comes; set time: false for it, or leave the "
                "anchor out, and train again"
            )
        if not model.modalities[config.modality].can_generate:
            raise ConfigError(
                f"generate: all of an event must be predicted; of the next {config.modality!r}, a "
                f"{model.experiment.modalities[config.modality].kind}, {task!r} predicts a part alone; set "
                "time: false for it, generate other modalities, and train again"
            )
        clocks[config.modality] = Clock(config.modality, task, head, config.at == "own")
    if not clocks:
        raise _nothing_to_generate(list(model.heads.keys()), contrasted)
    return list(clocks.values())


def _nothing_to_generate(tasks: list[str], contrasted: list[str]) -> ConfigError:
    """Why no modality can go on, and what to do."""
    if contrasted:
        return ConfigError(
            "generate: an event can be drawn where its modality has a likelihood; that of "
            f"{' and '.join(contrasted)} has none: its next event is only told apart from others; give the "
            "run a task of kind next_step with time: true for a numeric or a category, and train again"
        )
    return ConfigError(
        f"generate: a task must predict a modality's next event and its time; none of {', '.join(tasks)} "
        "does; give the run a task of kind next_step with time: true, and train again"
    )
