"""One sitting of training: all that is known before the first step, and the loop."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Int64
from rich.console import Console

from mmseq.balancers import balancers
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.batch.order import Order
from mmseq.config.checks import LOSS, MONITOR, no_metric
from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.experiment import Experiment, TrainingConfig
from mmseq.errors import ConfigError
from mmseq.facts import Facts
from mmseq.fit import fit, labels
from mmseq.model import Model
from mmseq.random import hash_key
from mmseq.refused import telling_where
from mmseq.run import Run
from mmseq.split import listed_samples, split_samples
from mmseq.store import Store
from mmseq.training.checkpoint import Checkpoint, Progress, read_checkpoint
from mmseq.training.feed import Feed
from mmseq.training.keeper import BEST, LAST, Keeper
from mmseq.training.module import TrainingModule
from mmseq.training.progress import Bar


class Sitting:
    """Splits, facts, model and order of a run, fresh or as its last checkpoint has them.

    Args:
        experiment: what to run.
        store: its data.
        resume: the run to go on with; None: a new one.
        data: tables in memory, for a source of kind `memory`.

    Raises:
        ConfigError, DataError: config or data break a rule.
    """

    def __init__(
        self, experiment: Experiment, store: Store, resume: Run | None = None, data: Any = None
    ) -> None:
        self.experiment, self.store = experiment, store
        self.config = experiment.training
        self.device = _device(self.config)
        self.splits = (
            split_samples(experiment.data.split, store)
            if resume is None
            else listed_samples(resume.splits, store)
        )
        self.saved: Checkpoint | None = None
        if resume is None:
            self.progress = Progress(data=store.manifest.fingerprint)
            facts = fit(experiment, store, self.splits["train"], data)
        else:
            _check_unfinished(resume)
            self.saved = read_checkpoint(resume.path / LAST)
            self.progress = self.saved.progress
            if self.progress.data != store.manifest.fingerprint:
                raise ConfigError(
                    f"{resume.path}: the data are not those that training began with; bring them back, or "
                    "start another run with --config"
                )
            facts = Facts.from_json(self.saved.facts, experiment)
        self.model = initialise(experiment, facts)
        if self.config.precision == "64-true":
            self.model.double()
        for task in store.tasks:  # a class that only another split has is better known before training
            for samples in self.splits.values():
                with telling_where(experiment, store, task, samples, data):
                    self.model.heads[task].encode(labels(store, task, samples))
        self.monitor, self.direction = monitored(experiment, self.model)
        check_validation(experiment, self.model, store, self.splits["validation"])

    def fit(self, run: Run, console: Console, callbacks: Sequence[pl.Callback] = ()) -> None:
        """Trains to the end; the model then has its best weights."""
        feed = self.feed()
        module = self.module(feed)
        if not self.progress.done:  # else it was cut off after the last step, before the model was written
            self._train(module, feed, run, console, callbacks)
        if self.progress.best is not None:
            module.load_state_dict(read_checkpoint(run.path / BEST).weights)
        self.model.eval()

    def _train(
        self, module: TrainingModule, feed: Feed, run: Run, console: Console, callbacks: Sequence[pl.Callback]
    ) -> None:
        run.drop_metrics_after(self.progress.step)
        bar = Bar(console)
        keeper = Keeper(
            run,
            self.progress,
            monitor=self.monitor,
            direction=self.direction,
            patience=self.config.patience,
            log_every=self.config.log_every,
            first_epoch=feed.first_epoch,
            say=bar.say,
        )
        trainer = build_trainer(self.config, self.device, feed.first_epoch, [keeper, bar, *callbacks])
        with warnings.catch_warnings(), keeper.stopping_when_asked():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            trainer.fit(module, datamodule=feed)

    def module(self, feed: Feed) -> TrainingModule:
        """What the trainer drives, with the weights and moments that training goes on from."""
        tasks = {task: config.weight for task, config in self.experiment.tasks.items()}
        return TrainingModule(
            self.model,
            balancers.build(self.experiment.balance, tasks).to(self.model.dtype),
            self.config,
            feed.total_steps,
            self.progress.step,
            self.saved,
        )

    def feed(self) -> Feed:
        """The batches that are still to come."""
        train, batch = self.splits["train"], self.config.batch
        size = None if batch.steps else batch.samples or 32
        lengths = self.store.lengths[train]
        order = Order(train, lengths, self.experiment.seed, size, batch.steps, batch.bucket)
        assembler = Assembler(self.store, self.model, tasks=list(self.model.heads))
        validation, seed = self.splits["validation"], self.experiment.seed
        return Feed(assembler, order, validation, self.config, seed, self.progress.step)


def _check_unfinished(run: Run) -> None:
    if (run.path / "model").is_dir():
        raise ConfigError(
            f"{run.path}: training has ended already; nothing is left to do: use the run as it is, "
            "or start another with --config"
        )
    if not any((run.path / "checkpoints").glob("*last*")):
        raise ConfigError(
            f"{run.path}: needs a checkpoint to go on from; it stopped before its first; start anew with "
            f"`mmseq train --config {run.path}/config.resolved.yaml`"
        )


def initialise(experiment: Experiment, facts: Facts) -> Model:
    """A model with weights that depend on the experiment's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(hash_key(experiment.seed, 3))
        return Model(experiment, facts)


def monitored(
    experiment: Experiment, model: Model
) -> tuple[Callable[[dict[str, Any]], float], Literal["max", "min"]]:
    """What picks the best epoch: reads it off a report, and says whether more is better.

    Raises:
        ConfigProblems: the monitored task has no such metric.
    """
    if experiment.training.monitor is None:
        weights = {task: config.weight for task, config in experiment.tasks.items() if config.weight}
        return lambda report: _weighted(report, weights), "min"
    task, _, metric = experiment.training.monitor.partition("/")
    if metric == LOSS:
        return lambda report: report[task]["loss"], "min"
    known = model.heads[task].metrics()
    if metric not in known:
        raise ConfigProblems([Problem(MONITOR, no_metric(task, metric, known))])
    direction: Literal["max", "min"] = "max" if known[metric].higher_is_better else "min"
    return lambda report: report[task]["metrics"][metric], direction


def check_validation(
    experiment: Experiment, model: Model, store: Store, samples: Int64[np.ndarray, "member"]
) -> None:
    """What chooses the best epoch must have labels to look at.

    Raises:
        ConfigProblems: no sample of the validation split has a label of a monitored task.
    """
    config = experiment.training
    if config.monitor is None and config.patience is None:
        return
    loc = MONITOR if config.monitor else ("training", "patience")
    if not len(samples):
        message = "looks at the validation split, which has no sample; give data.split some for it"
        raise ConfigProblems([Problem(loc, message)])
    weighted = [task for task, head in experiment.tasks.items() if head.weight]
    tasks = [config.monitor.partition("/")[0]] if config.monitor else weighted
    assembler = Assembler(store, model, tasks=tasks)
    batches = evaluation_loader(assembler, samples, window=config.window)
    if not any(len(target) for batch in batches for target in batch.targets.values()):
        message = (
            f"looks at the validation split, which has no label of {' or '.join(map(repr, tasks))}; "
            "monitor another task, or see data.split"
        )
        raise ConfigProblems([Problem(loc, message)])


def _weighted(report: dict[str, Any], weights: dict[str, float]) -> float:
    """The validation loss; NaN where no task has a label."""
    losses = [w * report[task]["loss"] for task, w in weights.items() if not math.isnan(report[task]["loss"])]
    return sum(losses) if losses else math.nan


def _device(config: TrainingConfig) -> str:
    if config.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("training.accelerator: gpu needs a CUDA device; torch finds none; use auto or cpu")
    return "cpu" if config.accelerator == "cpu" or not torch.cuda.is_available() else "cuda"


def build_trainer(
    config: TrainingConfig, device: str, first_epoch: int, callbacks: list[pl.Callback]
) -> pl.Trainer:
    """Lightning's Trainer, with everything off that a run keeps by itself."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # it advertises at each start
    return pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=config.devices,
        max_epochs=config.epochs - first_epoch,
        accumulate_grad_batches=config.accumulation,
        callbacks=callbacks,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
