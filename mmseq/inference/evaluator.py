"""Scores predictions against labels, with the baseline beside them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import Head
from mmseq.memory import FREE_SOME, telling_shortage
from mmseq.processes import ALONE, Processes


class WeightedLoss(Metric):
    """Loss over label weight, as in training; and the number of labels."""

    total: Tensor
    weight: Tensor
    labels: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("total", "weight", "labels"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, total: Float[Tensor, ""], weight: Float[Tensor, ""], labels: int) -> None:
        self.total += total
        self.weight += weight
        self.labels += labels

    def compute(self) -> tuple[Tensor, Tensor]:
        return self.total / self.weight, self.labels


class TaskScore:
    """What a head's predictions are worth, and what its baseline's are."""

    def __init__(self, head: Head, with_baseline: bool) -> None:
        # The CPU has float64, and room for every score that an exact ranking needs.
        on_cpu = all(tensor.device.type == "cpu" for tensor in head.state_dict(keep_vars=True).values())
        self.head = head if on_cpu else copy.deepcopy(head).cpu()
        self.loss = WeightedLoss()
        self.metrics = _in_float64(head.metrics())
        self.baselines: dict[str, dict[str, Metric]] = {}
        if with_baseline:
            self.baselines = {name: _in_float64(head.metrics()) for name in head.baseline_names}

    def update(self, parameters: Tensor, target: Target) -> None:
        target = replace(target, candidates=None).to("cpu")  # which the model alone needs
        parameters = parameters.detach().cpu()
        total, weight = self.head.loss_sum(parameters, target), self.head.weights(target).double().sum()
        self.loss.update(total, weight, len(target))
        self.head.score(self.metrics, parameters, target)
        if self.baselines:
            for name, said in self.head.baselines(target).items():
                self.head.score(self.baselines[name], said, target)

    def scores(self) -> list[Metric]:
        """All metrics, which hold sums or lists that those of another process can be added to."""
        others = [metric for own in self.baselines.values() for metric in own.values()]
        return [self.loss, *self.metrics.values(), *others]

    def compute(self) -> dict[str, Any]:
        loss, labels = _value(self.loss)
        return {
            "metrics": _values(self.metrics),
            "baseline": {},
            **{name: _values(own) for name, own in self.baselines.items()},
            "labels": int(labels),
            "loss": float(loss),
        }


class Evaluator:
    """Running scores of every task, over batches and over processes.

    A task without any label scores NaN. Every process has to call `compute`, and gets the same.

    Args:
        heads: by task, as they are when the predictions are made.
        with_baseline: score the baselines too.
        processes: that score a share of the samples each.
    """

    def __init__(
        self, heads: Mapping[str, Head], *, with_baseline: bool = True, processes: Processes = ALONE
    ) -> None:
        self.processes = processes
        self.tasks = {name: TaskScore(head, with_baseline) for name, head in heads.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], targets: Mapping[str, Target]) -> None:
        """Adds a batch: by task, the parameters at its labels, and the labels."""
        for name, target in targets.items():
            self.tasks[name].update(parameters[name], target)

    def compute(self) -> dict[str, dict[str, Any]]:
        """By task: `metrics` and the same of the `baseline`, the number of `labels`, the mean `loss`.

        Raises:
            MemoryShort: what an exact ranking keeps of all labels does not fit into memory.
        """
        with telling_shortage(lambda: ("metrics", None), FREE_SOME):
            return self._compute()

    def _compute(self) -> dict[str, dict[str, Any]]:
        # Not torchmetrics' own way, in which all wait for ever for a process that scored nothing.
        mine = [[dict(metric.metric_state) for metric in task.scores()] for task in self.tasks.values()]
        for others in self.processes.gather(mine)[1:]:
            for task, states in zip(self.tasks.values(), others, strict=True):
                for metric, state in zip(task.scores(), states, strict=True):
                    metric._reduce_states(state)
        report = None
        if self.processes.leads:
            report = {name: task.compute() for name, task in self.tasks.items()}
        told = self.processes.tell(report)
        assert told is not None
        return told


def values_of(head: Head, parameters: Tensor, target: Target) -> dict[str, float]:
    """The metrics of a head's predictions, on the host."""
    metrics = _in_float64(head.metrics())
    head.score(metrics, parameters, target)
    return _values(metrics)


def _in_float64(metrics: dict[str, Metric]) -> dict[str, Metric]:
    return {name: metric.set_dtype(torch.float64) for name, metric in metrics.items()}


def _values(metrics: Mapping[str, Metric]) -> dict[str, float]:
    return {name: float(_value(metric)) for name, metric in metrics.items()}


def _value(metric: Metric) -> Any:
    metric._to_sync = False  # `Evaluator.compute` has brought them together already
    with warnings.catch_warnings():
        # A metric that was never updated is a task without labels, whose value is NaN.
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric", category=UserWarning)
        return metric.compute()
