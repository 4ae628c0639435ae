"""What happens around the steps: logs, the best epoch, checkpoints, and stopping when asked to."""

from __future__ import annotations

import math
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
import torch
from torch import Tensor

from mmseq.errors import Interrupted
from mmseq.run import Run
from mmseq.training.checkpoint import Checkpoint, Progress, moments_of, save_checkpoint
from mmseq.training.module import TrainingModule

LAST, BEST = "checkpoints/last", "checkpoints/best"
_VANISHED, _EXPLODED = 1e-7, 100.0


class Keeper(pl.Callback):
    """Keeps a run's records.

    Args:
        run: where they go.
        progress: how far training came; kept up to date.
        monitor: reads the value that picks the best epoch off a validation report.
        direction: whether more of it is better.
        patience: epochs without a better one before training ends; None: never.
        log_every: steps between rows of metrics.csv.
        first_epoch: epochs that were finished before.
        say: prints a line.
        save_every: seconds between checkpoints; one is written after the step at which it is due.
    """

    def __init__(
        self,
        run: Run,
        progress: Progress,
        *,
        monitor: Callable[[dict[str, Any]], float],
        direction: Literal["max", "min"],
        patience: int | None,
        log_every: int,
        first_epoch: int,
        say: Callable[[str], None],
        save_every: float = 30.0,
    ) -> None:
        self.run, self.progress = run, progress
        self.monitor, self.direction, self.patience = monitor, direction, patience
        self.log_every, self.first_epoch, self.say = log_every, first_epoch, say
        self.save_every, self.saved_at = save_every, time.monotonic()
        self.best: Checkpoint | None = None  # not on disk yet
        self.stop_signal: int | None = None
        self.norms: list[Tensor] = []
        self.losses: list[Tensor] = []
        self.report: dict[str, Any] | None = None

    def epoch(self, trainer: pl.Trainer) -> int:
        """The epoch of the run, earlier sittings included."""
        return self.first_epoch + trainer.current_epoch

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if module.step == self.progress.step:
            return  # a micro-batch inside a step
        self.progress.step = module.step
        if module.losses:  # else no label was there to learn from
            self.losses.append(module.loss)
            self.norms.append(module.gradient_norm)
        if module.losses and module.step % self.log_every == 0:
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            self._log_step(module, self.epoch(trainer), lr)
        if self.stop_signal is not None and not trainer.is_last_batch:  # an epoch's end is validated first
            self._save(trainer, module)
            self._stop(self.stop_signal, module)
        if self._is_due() and not trainer.is_last_batch:
            self._save(trainer, module)

    def _is_due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.save_every

    def _stop(self, number: int, module: TrainingModule) -> NoReturn:
        raise Interrupted(
            f"interrupted after step {module.step}; a checkpoint was written: go on with "
            f"`{self.run.command('train --resume')}`",
            number,
        )

    def _log_step(self, module: TrainingModule, epoch: int, lr: float) -> None:
        values = {task: {"loss": float(loss)} for task, loss in module.losses.items()}
        total = {"loss": float(module.loss), "gradient_norm": float(module.gradient_norm), "lr": lr}
        self.run.add_metrics(module.step, epoch, "train", {"": total, **values})

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.report = report = module.evaluator.compute()
        value = self.monitor(report)
        best = self.progress.best
        better = best is None or (value > best if self.direction == "max" else value < best)
        if better and not math.isnan(value):
            self.progress.best, self.progress.stale = value, 0
            self.best = _copied(self._checkpoint(trainer, module))
        else:
            self.progress.stale += 1
            if self.patience is not None and self.progress.stale >= self.patience:
                trainer.should_stop = True
        metrics = {task: {"loss": r["loss"], **r["metrics"]} for task, r in report.items()}
        self.run.add_metrics(module.step, self.epoch(trainer), "validation", metrics)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = self.epoch(trainer)
        self._warn_of_gradients(epoch)
        self.progress.done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        if self._is_due() or self.progress.done or self.stop_signal is not None:
            self._save(trainer, module)
        loss = float(torch.stack(self.losses).mean()) if self.losses else math.nan
        self.losses = []
        line = f"epoch {epoch + 1}  step {module.step}  loss {loss:.4f}"
        if self.report is not None:
            best = "none yet" if self.progress.best is None else f"best {self.progress.best:.4f}"
            line += f"  monitor {self.monitor(self.report):.4f}"
            line += "  (best)" if self.progress.stale == 0 else f"  ({best})"
        self.run.log(line)
        self.say(line)
        if self.stop_signal is not None and not self.progress.done:
            self._stop(self.stop_signal, module)

    def _warn_of_gradients(self, epoch: int) -> None:
        norms, self.norms = [float(norm) for norm in self.norms], []
        if len(norms) < 3:
            return
        middle = statistics.median(norms)
        problem = None
        if middle < _VANISHED:
            problem = (
                f"gradients vanish (median norm {middle:.1e}): a gated core, fewer layers or a higher rate"
            )
        elif max(norms) > _EXPLODED * max(middle, _VANISHED):
            problem = f"gradients explode (norm {max(norms):.1e}, median {middle:.1e}): lower lr or clip"
        if problem:
            self.run.log(f"epoch {epoch + 1}  warning: {problem}")
            self.say(f"warning: {problem}")

    def _checkpoint(self, trainer: pl.Trainer, module: Any) -> Checkpoint:
        return Checkpoint(
            module.state_dict(),
            moments_of(trainer.optimizers[0]),
            self.progress,
            module.model.facts.to_json(),
            module.carried.states,
        )

    def _save(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes where training stands, after the best epoch where that is another than on disk."""
        if self.best is not None:
            save_checkpoint(self.run.path / BEST, self.best)
            self.best = None
        save_checkpoint(self.run.path / LAST, self._checkpoint(trainer, module))
        self.saved_at = time.monotonic()

    @contextmanager
    def stopping_when_asked(self) -> Iterator[None]:
        """SIGINT and SIGTERM end training after the step in progress; a second one ends at once."""

        def note(number: int, frame: FrameType | None) -> None:
            if self.stop_signal is not None:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.stop_signal = number

        try:
            before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread, where signals do not arrive
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    """The same as of now, in the host's memory; training goes on in place."""
    return replace(
        checkpoint,
        weights={name: value.detach().to("cpu", copy=True) for name, value in checkpoint.weights.items()},
        moments={name: value.detach().to("cpu", copy=True) for name, value in checkpoint.moments.items()},
        progress=replace(checkpoint.progress),
        carried=dict(checkpoint.carried),
    )
