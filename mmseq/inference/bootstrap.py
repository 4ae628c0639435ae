"""How sure metrics are: intervals from resampled groups, and differences between runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from mmseq.batch import Batch, Target
from mmseq.errors import ConfigError
from mmseq.heads import Head
from mmseq.inference.evaluate import answers_of, split_of
from mmseq.inference.evaluator import values_of
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.ragged import ranges, starts_of
from mmseq.random import hash_key
from mmseq.run import Run

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Store

LEVEL = 0.95
REPEATS = 1_000
Interval = tuple[float, float]


@dataclass(frozen=True)
class Answers:
    """What a model says at all labels of a task, sorted by what is resampled.

    Attributes:
        head: that said it.
        parameters: (label, parameter).
        target: the labels.
        starts: first label of each unit, and their number at the end.
    """

    head: Head
    parameters: Float[Tensor, "label parameter"]
    target: Target
    starts: Int64[np.ndarray, "bound"]

    def metrics(self, units: Int64[np.ndarray, "drawn"] | None = None) -> dict[str, float]:
        """The metrics over some units, each as often as it is named; None: over all."""
        if units is None:
            return values_of(self.head, self.parameters, self.target)
        counts = np.diff(self.starts)[units]
        rows = torch.from_numpy(ranges(self.starts[units], counts, starts_of(counts)))
        return values_of(self.head, self.parameters[rows], self.target.take(rows))

    def labels(self) -> Shaped[np.ndarray, "label column"] | None:
        """What the labels are, sorted within each unit; None where codes stand for what only the head knows.

        Classes by their names, and columns by theirs, for runs may order them differently; numbers in the
        precision of all stores, NaN where they are missing.
        """
        spec, value, observed = self.head.spec, self.target.value, self.target.observed
        if hasattr(spec, "classes") and not value.is_floating_point():
            told = np.array(spec.classes, str)[value.numpy()]
        elif value.is_floating_point() and not hasattr(spec, "parts"):
            seen = value if observed is None else torch.where(observed, value, torch.nan)
            told = seen.numpy().astype(np.float32)
        else:
            return None
        told, columns = told.reshape(len(value), -1), getattr(spec, "columns", [])
        if len(columns) == told.shape[1]:
            told = told[:, np.argsort(columns)]
        unit = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return np.asarray(told[np.lexsort((*told.T, unit))])


@dataclass(frozen=True)
class Collected:
    """All answers on a split.

    Attributes:
        units: names of what is resampled: groups where there are any, else samples.
        tasks: answers by task.
    """

    units: Shaped[np.ndarray, "unit"]
    tasks: dict[str, Answers]


def collect(
    run: Run, split: str, data: Any = None, by: str | None = None, model: Model | None = None
) -> Collected:
    """What a run's model says on a split.

    Args:
        run, split, data: see `evaluate`.
        by: what its answers are sorted by, `sample` or `group`; None: groups if there are any, else samples.
        model: the run's, where it is loaded already.

    Raises:
        ConfigError: the split has no sample, or the data have no groups to sort by.
        MemoryShort: the answers do not fit into memory.
    """
    model, store, samples = split_of(run, split, data, model)
    names = _unit_of(store, by)
    units, unit = np.unique(names[samples], return_inverse=True)
    of_id = dict(zip(store.ids[samples].tolist(), unit.tolist(), strict=True))
    parts: dict[str, list[tuple[Tensor, Target, np.ndarray]]] = {task: [] for task in model.heads}

    def keep(batch: Batch, parameters: Mapping[str, Tensor]) -> None:
        here = np.array([of_id[id] for id in batch.ids], np.int64)
        for task, target in batch.targets.items():
            sample = batch.timeline.sample[target.where].numpy()
            parts[task].append((parameters[task], replace(target, candidates=None), here[sample]))

    answers_of(model, store, samples, keep)
    with telling_shortage(lambda: ("evaluate: all answers", None), FREE_SOME):
        heads = {task: head.cpu() for task, head in model.heads.items()}
        return Collected(units, {task: _joined(heads[task], own, len(units)) for task, own in parts.items()})


def _unit_of(store: Store, by: str | None) -> Shaped[np.ndarray, "sample"]:
    if by == "group" and store.groups is None:
        raise ConfigError("group: the data have none, data.source.group names no column; go by sample")
    if by == "sample" or store.groups is None:
        return store.ids
    return np.array(store.group_names)[store.groups]


def _joined(head: Head, parts: Sequence[tuple[Tensor, Target, np.ndarray]], n_units: int) -> Answers:
    unit = np.concatenate([own for _, _, own in parts])
    order = np.argsort(unit, kind="stable")
    rows = torch.from_numpy(order)
    targets = [target for _, target, _ in parts]
    given: dict[str, Any] = {}
    for field in fields(Target):
        values = [getattr(target, field.name) for target in targets]
        if field.name == "observed" and any(value is not None for value in values):
            values = [
                torch.ones(t.value.shape, dtype=torch.bool) if v is None else v
                for t, v in zip(targets, values, strict=True)
            ]
        if all(value is not None for value in values):
            given[field.name] = torch.cat(values)[rows]
    starts = starts_of(np.bincount(unit, minlength=n_units).astype(np.int64))
    return Answers(head, torch.cat([p for p, _, _ in parts])[rows], Target(**given), starts)


def intervals(collected: Collected, repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """By task and metric, the value, and where 95 % of those over resampled units lie.

    Units are drawn with replacement, as many as there are; percentiles 2.5 and 97.5 of the metrics of each
    draw.

    Source: Efron 1979, "Bootstrap methods: another look at the jackknife"; groups are resampled whole.
    """
    report = {}
    for task, answers in collected.tasks.items():
        spread = _between(_resampled(answers.metrics, len(collected.units), repeats))
        report[task] = {
            name: {"value": value, "interval": spread[name]} for name, value in answers.metrics().items()
        }
    return report


def differences(mine: Collected, other: Collected, repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """By task and metric of both: the two values, and where 95 % of their differences lie.

    Both are resampled alike, so that what is hard for both cancels out.

    Raises:
        ConfigError: they were not evaluated on the same labels, or have no task in common.
    """
    if not np.array_equal(mine.units, other.units):
        raise ConfigError(
            f"--against: runs are compared on the same samples; one has {len(mine.units)} samples or groups "
            f"here, the other {len(other.units)}, not the same ones; train both on the same split"
        )
    shared = [task for task in mine.tasks if task in other.tasks]
    if not shared:
        raise ConfigError(
            f"--against: runs are compared task by task; {', '.join(mine.tasks)} and "
            f"{', '.join(other.tasks)} have none in common; name the same task alike"
        )
    return {task: _difference(task, mine.tasks[task], other.tasks[task], repeats) for task in shared}


def _difference(task: str, mine: Answers, other: Answers, repeats: int) -> dict[str, Any]:
    if not np.array_equal(mine.starts, other.starts) or not _alike(mine.labels(), other.labels()):
        raise ConfigError(
            f"--against: task {task!r} has other labels in the other run; compare runs whose tasks read the "
            "same column"
        )
    here, there = mine.metrics(), other.metrics()
    names = [name for name in here if name in there]

    def both(units: Int64[np.ndarray, "drawn"]) -> dict[str, float]:
        a, b = mine.metrics(units), other.metrics(units)
        return {name: a[name] - b[name] for name in names}

    spread = _between(_resampled(both, len(mine.starts) - 1, repeats))
    return {name: {"run": here[name], "other": there[name], "difference": spread[name]} for name in names}


def _alike(mine: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether labels are the same, as far as it is known."""
    if mine is None or other is None:
        return True
    is_text = mine.dtype.kind == "U"
    return is_text == (other.dtype.kind == "U") and np.array_equal(mine, other, equal_nan=not is_text)


def _resampled(
    measure: Callable[[Int64[np.ndarray, "drawn"]], dict[str, float]], n_units: int, repeats: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for repeat in range(repeats):
        rng = np.random.default_rng(hash_key(repeat, n_units) % 2**63)
        for name, value in measure(rng.integers(0, n_units, n_units)).items():
            found.setdefault(name, []).append(value)
    return found


def _between(values: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """The percentiles of what has a value; NaN where nothing has."""
    tail = 50 * (1 - LEVEL)
    found = {}
    for name, drawn in values.items():
        real = np.array(drawn)[~np.isnan(drawn)]
        low, high = np.percentile(real, [tail, 100 - tail]) if len(real) else (np.nan, np.nan)
        found[name] = (float(low), float(high))
    return found
