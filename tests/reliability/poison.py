"""Puts a bad number somewhere while a run trains, and what such a run has to end with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

import mmseq
from mmseq.config.experiment import Experiment
from mmseq.tensors import dump_tensors
from mmseq.training.checkpoint import moments_of
from mmseq.training.schedule import rate
from mmseq.training.sitting import Sitting

PLUGIN = Path(__file__).with_name("poisoned.py")
SETTINGS = [
    "modalities.vitals.encoder={kind: poisoned}",
    "modalities.vitals.clip=null",
    "tasks.level.kind=poisoned",
    "training.epochs=2",
    "training.monitor=null",
    "training.checkpoint.steps=1",
    "training.checkpoint.keep=99",
]
WEIGHTS = {"weight": "model.core.", "balance": "balancer."}


def load(yaml: Path, store: Path, settings: Sequence[str] = ()) -> Experiment:
    return mmseq.load_config(yaml, [f"data.store={store}", *SETTINGS, *settings], plugins=[PLUGIN])


class Poison(pl.Callback):
    """Puts a bad number into the first micro-batch of some steps.

    Args:
        where: input (an observed value of an event), label, loss, output or gradient (of a plugin), weight,
            balance (a weight of the balancer).
        value: the number.
        steps: at which.
        rank: the process in which; None: in all.

    Attributes:
        samples: by step, the sample that has it; None where it is no sample's.
        same: of each of these steps, whether weights and moments were the same before and after it.
    """

    def __init__(self, where: str, value: float, steps: Sequence[int], rank: int | None = None) -> None:
        self.where, self.value, self.steps, self.rank = where, value, steps, rank
        self.samples: dict[int, str | None] = {}
        self.same: list[bool] = []
        self.step: int | None = None
        self.before: tuple[bytes, bytes] = (b"", b"")
        self.healthy: Tensor | None = None

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        if module.step not in self.steps or module.step == self.step:
            return
        self.step, self.before = module.step, _left(trainer, module)
        if self.rank is None or self.rank == module.processes.rank:
            self.samples[module.step] = self._poison(module, batch)

    def _poison(self, module: Any, batch: Any) -> str | None:
        if self.where == "input":
            events = batch.events["vitals"]
            events.values[0], events.observed[0] = self.value, True
            return batch.ids[batch.timeline.sample[events.step[0]]]
        if self.where == "label":
            target = batch.targets["level"]
            target.value[0] = self.value
            return batch.ids[batch.timeline.sample[target.where[0]]]
        if self.where in WEIGHTS:
            weight = _weight(module, WEIGHTS[self.where])
            self.healthy = weight.detach().clone()
            weight.data.view(-1)[0] = self.value
            return None
        sys.modules["mmseq_plugin_poisoned"].BAD[self.where] = self.value
        if self.where == "gradient":
            return None
        where = batch.events["vitals"].step if self.where == "output" else batch.targets["level"].where
        return batch.ids[batch.timeline.sample[where[0]]]

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        if self.step is not None and module.step > self.step:
            self._look(trainer, module)

    def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
        if self.step is not None:
            self._look(trainer, module)

    def _look(self, trainer: Any, module: Any) -> None:
        if self.healthy is not None:
            _weight(module, WEIGHTS[self.where]).data.copy_(self.healthy)
        if "mmseq_plugin_poisoned" in sys.modules:
            sys.modules["mmseq_plugin_poisoned"].BAD.clear()
        self.same.append(_left(trainer, module) == self.before)
        self.step = self.healthy = None


def _weight(module: Any, prefix: str) -> Tensor:
    return next(p for name, p in module.named_parameters() if name.startswith(prefix))


def _left(trainer: Any, module: Any) -> tuple[bytes, bytes]:
    return dump_tensors(module.state_dict()), dump_tensors(moments_of(trainer.optimizers[0]))


def trained(experiment: Experiment, skipped: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and moments by a loop of our own in which the optimizer leaves out some steps."""
    sitting, config = Sitting(experiment, mmseq.prepare(experiment)), experiment.training
    feed = sitting.feed()
    module, step = sitting.module(feed), 0
    optimizer = module.configure_optimizers()
    for epoch in range(config.epochs):
        for micros in zip(*[iter(feed.batches(epoch))] * config.accumulation, strict=True):
            optimizer.zero_grad()
            for batch in micros:
                said = module(batch)
                losses = {
                    task: head.loss_sum(said[task], batch.targets[task]) / (batch.weights[task] or 1.0)
                    for task, head in module.model.heads.items()
                }
                module.balancer(losses, batch.weights, batch.share).backward()
            schedule = (config.optimizer.warmup, config.optimizer.schedule)
            for group in optimizer.param_groups:
                group["lr"] = config.optimizer.lr * rate(step, feed.total_steps, *schedule)
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, config.clip or float("inf"))
            if step not in skipped:
                optimizer.step()
            step += 1
    return module.state_dict(), moments_of(optimizer)
