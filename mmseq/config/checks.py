"""What the parts of a valid tree must have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mmseq.balancers import balancers
from mmseq.batch import CategoryEvents, NumericEvents
from mmseq.config.deep import fields_named
from mmseq.config.places import Loc
from mmseq.cores.nested import is_causal
from mmseq.encoders import encoders
from mmseq.heads import HeadConfig, HidingConfig, TargetConfig, heads
from mmseq.heads.config import Horizon
from mmseq.modalities import modalities
from mmseq.registry import did_you_mean
from mmseq.sources import Reading

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment

Contradiction = tuple[Loc, str]

COLUMNS = ("id", "time")
LOSS = "loss"  # every task has it beside its metrics
MONITOR = ("training", "monitor")


def contradictions(experiment: Experiment) -> Iterator[Contradiction]:
    """Every place where one part contradicts another, with what is wrong there."""
    yield from _encoders(experiment)
    yield from _anchor(experiment)
    yield from _markers(experiment)
    yield from _task_names(experiment)
    yield from _weights(experiment)
    yield from _task_modalities(experiment)
    yield from _long_samples(experiment)
    yield from _readout(experiment)
    yield from _monitor(experiment)
    yield from _balancer(experiment)
    yield from _drawing(experiment)
    yield from _pretraining(experiment)


def _long_samples(experiment: Experiment) -> Iterator[Contradiction]:
    """What runs over samples part by part, or foretells, needs a causal core, and something to do."""
    training = experiment.training
    early = training.supervise == "every_step"
    for option in ("window", "recompute", "supervise"):
        value = early if option == "supervise" else getattr(training, option)
        if value and not is_causal(experiment.core):
            yield (
                ("training", option),
                f"needs a causal core; {experiment.core.kind!r} looks at later steps; leave `{option}` "
                "out, or choose another core",
            )
    for name, task in experiment.tasks.items():
        if task.looks_ahead and not is_causal(experiment.core):
            yield (
                ("tasks", name),
                f"predicts what comes next, and the core {experiment.core.kind!r} has seen it; leave the "
                "task out, or choose a causal core",
            )
    if early and all(task.by_step for task in experiment.tasks.values()):
        yield (
            ("training", "supervise"),
            "does nothing: every task predicts at steps already; leave it out",
        )
    if training.window and training.recompute and training.recompute >= training.window:
        yield (
            ("training", "recompute"),
            f"does nothing: a window has {training.window} steps; make it less, or leave it out",
        )


def _readout(experiment: Experiment) -> Iterator[Contradiction]:
    """Of tasks at steps none reads it; the default, which a resolved run writes down, is let by."""
    default = type(experiment).model_fields["readout"].get_default(call_default_factory=True)
    if all(task.by_step for task in experiment.tasks.values()) and experiment.readout != default:
        yield ("readout",), "does nothing: every task predicts at steps, from the core itself; leave it out"


def _balancer(experiment: Experiment) -> Iterator[Contradiction]:
    """What looks at a global batch before its step must see all of it at once."""
    reads = balancers.component_class(experiment.balance.kind).reads
    if reads != "nothing" and experiment.training.accumulation > 1:
        yield (
            ("training", "accumulation"),
            f"must be 1: the balancer {experiment.balance.kind!r} reads the {reads} of a whole batch before "
            "its step; leave it out, or choose another balancer",
        )


def _drawing(experiment: Experiment) -> Iterator[Contradiction]:
    """Classes are drawn by a label of the whole sample."""
    balance = experiment.training.batch.balance
    known = [name for name, config in experiment.tasks.items() if not config.by_step and _has_classes(config)]
    if balance is not None and balance not in known:
        yield (
            ("training", "batch", "balance"),
            _names("a task whose labels are classes, one a sample", balance, known),
        )


def _has_classes(config: HeadConfig) -> bool:
    """Whether a table says the class of each label, rather than numbers."""
    reading = None if config.told_by is not None else heads.component_class(config.kind).reading(config)
    return reading is not None and len(reading.codes) == 1 and not reading.numbers


def _pretraining(experiment: Experiment) -> Iterator[Contradiction]:
    """The first stage learns from some of the tasks."""
    pretrain, loc = experiment.training.pretrain, ("training", "pretrain", "tasks")
    if pretrain is None:
        return
    known = [task for task, config in experiment.tasks.items() if config.weight]
    for task in pretrain.tasks:
        if task not in known:
            yield loc, _names("a task with a weight above 0", task, known)
    if not set(known) - set(pretrain.tasks):
        yield loc, "names every task there is; leave one for the training after it, or leave `pretrain` out"


def _encoders(experiment: Experiment) -> Iterator[Contradiction]:
    """An encoder reads the events that its modality gives."""
    for name, config in experiment.modalities.items():
        assert config.encoder is not None  # the experiment has written the default down
        reads = encoders.component_class(config.encoder.kind).reads
        gives = modalities.component_class(config.kind).gives
        if not issubclass(gives, reads):
            yield (
                ("modalities", name, "encoder"),
                f"{config.encoder.kind!r} encodes {reads.__name__}; the modality {config.kind!r} gives "
                f"{gives.__name__}; leave `encoder` out for its default",
            )


def _anchor(experiment: Experiment) -> Iterator[Contradiction]:
    anchor = experiment.timeline.anchor
    if anchor is not None:
        yield from _clock(experiment, anchor, ("timeline", "anchor"))


def _markers(experiment: Experiment) -> Iterator[Contradiction]:
    """What marks the segments of a hierarchical core, or of one inside another, is a category with times."""
    known = [
        name
        for name, config in experiment.modalities.items()
        if not config.static and issubclass(modalities.component_class(config.kind).gives, CategoryEvents)
    ]
    for loc, marker in fields_named(experiment.core, "marker", ("core",)):
        if marker is not None and marker not in known:
            yield loc, _names("a category modality with a clock", marker, known)


def _clock(experiment: Experiment, name: str, loc: tuple[str, ...]) -> Iterator[Contradiction]:
    """The name must be that of a modality that has times."""
    timed = [known for known, modality in experiment.modalities.items() if not modality.static]
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


def _weights(experiment: Experiment) -> Iterator[Contradiction]:
    """A task of weight 0 is evaluated beside others; alone it leaves nothing to learn from."""
    if not any(task.weight for task in experiment.tasks.values()):
        yield ("tasks",), "have weight 0, every one: nothing would be trained; give one a weight above 0"


def _task_modalities(experiment: Experiment) -> Iterator[Contradiction]:
    """The modality whose events are a task's labels, as of `next_step`, is one of the experiment's."""
    hidden: dict[str, str] = {}
    for name, task in experiment.tasks.items():
        if task.told_by is None:
            continue
        target = task.target if isinstance(task, TargetConfig) else None
        loc = ("tasks", name, *([] if target is None else ["target"]), "modality")
        wrong = list(_clock(experiment, task.told_by, loc))
        yield from wrong
        if target is not None and not wrong:
            reads = heads.component_class(task.kind).reading(task)
            yield from _feature(experiment, target, reads, task.kind, ("tasks", name, "target"))
        if isinstance(task, HidingConfig) and not wrong:
            yield from _hides(experiment, task, loc, hidden.setdefault(task.modality, name) != name)


def _hides(
    experiment: Experiment, task: HidingConfig, loc: tuple[str, ...], twice: bool
) -> Iterator[Contradiction]:
    """Cells of numbers can be hidden, and of a modality by one task: another's would be seen by neither."""
    modality = experiment.modalities[task.modality]
    if not issubclass(modalities.component_class(modality.kind).gives, NumericEvents):
        yield (
            loc,
            f"must be of numbers; {task.modality!r} is of kind {modality.kind!r}; name a numeric modality",
        )
    if twice:
        yield loc, f"{task.modality!r} is filled by another task already; leave one of them out"


def _feature(
    experiment: Experiment, target: Horizon, reads: Reading | None, kind: str, loc: tuple[str, ...]
) -> Iterator[Contradiction]:
    """A target's modality holds what the head reads, in the column that it names."""
    modality = experiment.modalities[target.modality]
    holds = modalities.component_class(modality.kind).reading(modality)
    words, wanted = bool(holds.codes), "words" if reads is not None and reads.codes else "numbers"
    is_plain = words != bool(holds.numbers or holds.pivot) and holds.payload is None
    if not is_plain or words != (wanted == "words"):
        yield (
            (*loc, "modality"),
            f"must have {wanted} in columns, as {kind!r} reads; {target.modality!r} is of kind "
            f"{modality.kind!r}; name another modality, or choose another kind of task",
        )
    elif (known := list(holds.codes or holds.numbers)) and target.feature not in known:
        yield (
            (*loc, "feature"),
            _names(f"a column of modality {target.modality!r}", target.feature, known),
        )


def _monitor(experiment: Experiment) -> Iterator[Contradiction]:
    monitor, loc = experiment.training.monitor, MONITOR
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
    else:
        config = experiment.tasks[task]
        known = heads.component_class(config.kind).metric_names(config)
        if known is not None and metric not in (LOSS, *known):
            yield loc, no_metric(task, metric, known)


def no_metric(task: str, metric: str, known: Iterable[str]) -> str:
    """What is wrong with a metric that a task does not have."""
    known = [LOSS, *(name for name in known if name != LOSS)]
    return _names(f"a metric of task {task!r}, after the /", metric, known)


def _names(what: str, came: str, known: list[str], but: str = "") -> str:
    listed = ", ".join(known) or "none"
    return f"must name {what}; came {came!r}{but}{did_you_mean(came, known)}; there are: {listed}"
