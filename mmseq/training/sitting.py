"""One sitting of training: all that is known before the first step, and the loop."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Int64
from pytorch_lightning.utilities.seed import isolate_rng
from rich.console import Console

from mmseq.balancers import balancers
from mmseq.batch.ahead import all_ahead
from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import evaluation_loader
from mmseq.batch.order import Order
from mmseq.batch.pools import pools_of
from mmseq.config.checks import LOSS, MONITOR, no_metric
from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.experiment import Experiment
from mmseq.errors import CheckpointError, ConfigError
from mmseq.facts import Facts
from mmseq.fit import check_labels, fit
from mmseq.memory import keeping_freed, telling_shortage
from mmseq.model import Model
from mmseq.processes import ALONE, Processes
from mmseq.random import hash_key
from mmseq.run import Run
from mmseq.split import listed_samples, split_samples
from mmseq.store import Store
from mmseq.training.checkpoint import Checkpoint, Progress
from mmseq.training.checkpoints import Checkpoints
from mmseq.training.feed import Feed
from mmseq.training.keeper import Keeper
from mmseq.training.module import TrainingModule
from mmseq.training.progress import Bar
from mmseq.training.resume import identity
from mmseq.training.trainer import build_trainer

_LOWER = (
    "lower training.batch.samples (or set training.batch.steps), raise training.accumulation, or set "
    "training.window or training.recompute"
)


class Sitting:
    """Splits, facts, model and order of a run, fresh or as its last checkpoint has them.

    Args:
        experiment: what to run.
        store: its data.
        resume: the run to go on with; None: a new one.
        data: tables in memory, for a source of kind `memory`.
        processes: that train together.
        checkpoint: name of the one to go on from; None: the latest.

    Raises:
        ConfigError, DataError: config or data break a rule.
        CheckpointError: the checkpoint is not whole.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        resume: Run | None = None,
        data: Any = None,
        *,
        processes: Processes = ALONE,
        checkpoint: str | None = None,
    ) -> None:
        self.experiment, self.store, self.processes = experiment, store, processes
        self.config = experiment.training
        self.splits = (
            split_samples(experiment.data.split, store)
            if resume is None
            else listed_samples(resume.splits, store)
        )
        self.saved: Checkpoint | None = None
        if resume is None:
            self.progress = Progress(data=store.manifest.fingerprint, experiment=identity(experiment))
            facts = fit(experiment, store, self.splits["train"], data)
        else:
            kept = self.checkpoints(resume)
            self.saved = kept.latest() if checkpoint is None else kept.earlier(checkpoint)
            self.progress = self.saved.progress
            if self.progress.data != store.manifest.fingerprint:
                raise ConfigError(
                    f"{resume.path}: the data are not those that training began with; bring them back, or "
                    "start another run with --config"
                )
            try:
                facts = Facts.from_json(self.saved.facts, experiment)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"{resume.path}: the facts of its checkpoint must be those of its configuration; "
                    f"{type(error).__name__}: {str(error).splitlines()[0][:200]}; bring back what was there"
                ) from error
        self.model = initialise(experiment, facts)
        if self.config.precision == "64-true":
            self.model.double()
        for samples in self.splits.values():  # a class that only another split has is better known now
            check_labels(self.model, store, samples, data)
        for task, ahead in all_ahead(experiment.tasks, store).items():
            for samples in self.splits.values():
                ahead.encode(self.model.heads[task], ahead.values(samples))
        self.model.eval().try_out()
        self.model.train()
        self.monitor, self.direction = monitored(experiment, self.model)
        check_validation(experiment, self.model, store, self.splits["validation"])

    def checkpoints(self, run: Run) -> Checkpoints:
        """Those of a run of this experiment."""
        keep, resume = self.config.checkpoint.keep, run.command("train --resume")
        return Checkpoints(run.path / "checkpoints", identity(self.experiment), keep, resume)

    def begin(self, run: Run) -> None:
        """Writes a checkpoint of step 0, from which any number of processes can go on."""
        weights, facts = self.module(self.feed()).state_dict(), self.model.facts.to_json()
        self.checkpoints(run).save(Checkpoint(weights, {}, self.progress, facts, {}))

    def fit(self, run: Run, console: Console, callbacks: Sequence[pl.Callback] = ()) -> None:
        """Trains to the end; the model then has its best weights."""
        feed = self.feed()
        module = self.module(feed)
        if not self.progress.done:  # else it was cut off after the last step, before the model was written
            self._train(module, feed, run, console, callbacks)
        self.processes.barrier()
        if self.progress.best is not None:
            module.load_state_dict(self.checkpoints(run).best(self.progress.best_step).weights)
        self.model.eval()

    def _train(
        self, module: TrainingModule, feed: Feed, run: Run, console: Console, callbacks: Sequence[pl.Callback]
    ) -> None:
        if self.processes.leads:
            run.drop_metrics_after(self.progress.step)
            self.checkpoints(run).set_aside_after(self.progress.step)
        bar = Bar(console)
        keeper = Keeper(
            run,
            self.progress,
            self.checkpoints(run),
            self.config,
            monitor=self.monitor,
            direction=self.direction,
            first_epoch=feed.first_epoch,
            say=bar.say,
            processes=self.processes,
        )
        with warnings.catch_warnings(), isolate_rng(), keeping_freed(), keeper.stop.noting():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            trainer = build_trainer(self.config, feed.first_epoch, [keeper, bar, *callbacks], self.processes)
            remedy = f"{_LOWER}; the last checkpoint is whole: {run.path / 'checkpoints'}"
            with telling_shortage(lambda: (f"step {module.step}", module.carried.batch), remedy):
                trainer.fit(module, datamodule=feed)
                keeper.stop_after_all(self.progress.step)

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
            guard=self.progress.guard,
            seed=self.experiment.seed,
            first_epoch=feed.first_epoch,
            pretraining_steps=feed.pretraining_steps,
            processes=self.processes,
        )

    def feed(self) -> Feed:
        """The batches that are still to come."""
        train, batch = self.splits["train"], self.config.batch
        size = None if batch.steps else batch.samples or 32
        lengths = self.store.lengths[train]
        labelled = [task for task in self.store.tasks if self.experiment.tasks[task].weight]
        pools = pools_of(batch, self.store, train, labelled)
        order = Order(train, lengths, self.experiment.seed, size, batch.steps, batch.bucket, pools)
        assembler = Assembler(self.store, self.model, tasks=list(self.model.heads), among=train)
        validation, seed = self.splits["validation"], self.experiment.seed
        return Feed(assembler, order, validation, self.config, seed, self.progress.step, self.processes)


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
    if known[metric].higher_is_better is None:
        rule = f"needs a metric that is better when it is more, or less; {metric!r} is best in between"
        raise ConfigProblems([Problem(MONITOR, f"{rule}; name another of task {task!r}")])
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
