"""What the parts of a valid tree must have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmseq.config.places import Loc
from mmseq.registry import did_you_mean

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment

Contradiction = tuple[Loc, str]

COLUMNS = ("id", "time")


def contradictions(experiment: Experiment) -> Iterator[Contradiction]:
    """Every place where one part contradicts another, with what is wrong there."""
    yield from _anchor(experiment)
    yield from _task_names(experiment)
    yield from _task_modalities(experiment)
    yield from _monitor(experiment)


def _anchor(experiment: Experiment) -> Iterator[Contradiction]:
    anchor = experiment.timeline.anchor
    if anchor is not None:
        yield from _clock(experiment, anchor, ("timeline", "anchor"))


def _clock(experiment: Experiment, name: str, loc: tuple[str, ...]) -> Iterator[Contradiction]:
    """The name must be that of a modality that has times."""
    timed = [known for known, modality in experiment.modalities.items() if modality.time is not None]
    if name not in timed:
        static = ", which has no `time`" if name in experiment.modalities else ""
        yield loc, _names("a modality with a clock", name, timed, static)


def _task_names(experiment: Experiment) -> Iterator[Contradiction]:
    for name in experiment.tasks:
        if name in experiment.modalities:
            yield ("tasks", name), "is the name of a modality too; give the task another name"
        if name in COLUMNS:
            message = (
                f"is a column of every prediction table ({', '.join(COLUMNS)}); give the task another name"
            )
            yield ("tasks", name), message


def _task_modalities(experiment: Experiment) -> Iterator[Contradiction]:
    """A task's `modality`, as of `next_step`, is one of the experiment's, and has a next event."""
    for name, task in experiment.tasks.items():
        modality = getattr(task, "modality", None)
        if isinstance(modality, str):
            yield from _clock(experiment, modality, ("tasks", name, "modality"))


def _monitor(experiment: Experiment) -> Iterator[Contradiction]:
    monitor, loc = experiment.training.monitor, ("training", "monitor")
    split = experiment.data.split
    if (monitor or experiment.training.patience) and not (split.column or split.file or split.validation):
        where = loc if monitor else ("training", "patience")
        yield where, "looks at the validation split, which is empty; give data.split.validation a share"
    if monitor is None:
        return
    task, slash, metric = monitor.partition("/")
    if not (slash and metric):
        yield loc, f"is written task/metric, such as {next(iter(experiment.tasks))}/loss; came {monitor!r}"
    elif task not in experiment.tasks:
        yield loc, _names("a task, before the /", task, list(experiment.tasks))


def _names(what: str, came: str, known: list[str], but: str = "") -> str:
    listed = ", ".join(known) or "none"
    return f"must name {what}; came {came!r}{but}{did_you_mean(came, known)}; there are: {listed}"
