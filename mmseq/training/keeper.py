"""What happens around the steps: logs, the best epoch, checkpoints, and stopping when asked to."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NoReturn

import pytorch_lightning as pl
import torch
from torch import Tensor

from mmseq.carried import Rows
from mmseq.config.training import TrainingConfig
from mmseq.errors import Interrupted, NumericError
from mmseq.processes import ALONE, Processes
from mmseq.run import Run
from mmseq.signals import STOPS, StopSignal
from mmseq.training.checkpoint import Checkpoint, Progress, moments_of
from mmseq.training.checkpoints import Checkpoints
from mmseq.training.module import TrainingModule
from mmseq.training.shared import cosines

_UNCHOSEN = (
    "no epoch was chosen, and the weights are the last one's: what is monitored never had a finite value, as "
    "where the validation split has no label of its task; see training.monitor"
)
_VANISHED, _EXPLODED = 1e-7, 100.0
_STOP = "stop"


class Keeper(pl.Callback):
    """Keeps a run's records. All processes decide alike; the leader writes and prints.

    Args:
        run: where they go.
        progress: how far training came; kept up to date.
        checkpoints: where those go.
        config: the training section.
        monitor: reads the value that picks the best epoch off a validation report.
        direction: whether more of it is better.
        first_epoch: epochs that were finished before.
        say: prints a line.
        processes: that train together.
    """

    def __init__(
        self,
        run: Run,
        progress: Progress,
        checkpoints: Checkpoints,
        config: TrainingConfig,
        *,
        monitor: Callable[[dict[str, Any]], float],
        direction: Literal["max", "min"],
        first_epoch: int,
        say: Callable[[str], None],
        processes: Processes = ALONE,
    ) -> None:
        self.run, self.progress, self.checkpoints, self.config = run, progress, checkpoints, config
        self.monitor, self.direction = monitor, direction
        self.first_epoch, self.say, self.processes = first_epoch, say, processes
        self.saved_at, self.saved_step = time.monotonic(), progress.step
        self.best: Checkpoint | None = None  # not on disk yet
        self.before_last: Checkpoint | None = None  # of the step before this epoch's last
        self.stop = StopSignal()
        self.norms: list[Tensor] = []
        self.loss = torch.tensor(progress.loss, dtype=torch.float64)
        self.report: dict[str, Any] | None = None

    def epoch(self, trainer: pl.Trainer) -> int:
        """The epoch of the run, earlier sittings included."""
        return self.first_epoch + trainer.current_epoch

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        module.ask = self._ask

    def on_train_epoch_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.before_last = None
        self._keep_before_last(trainer, module, -1)

    def _keep_before_last(self, trainer: pl.Trainer, module: Any, index: int) -> None:
        """Where a signal that comes amid validation leaves off: the last step and it are then done again."""
        if trainer.num_training_batches - (index + 1) == self.config.accumulation:
            self.before_last = self._snapshot(trainer, module)

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        number = self._heard()
        if number is not None and self.before_last is not None:
            self._write(self.before_last)
            self._stop(number, self.before_last.progress.step)

    def _heard(self) -> int | None:
        """The signal that came to this process, or of which another left word for the leader.

        Amid validation processes cannot ask one another: their batches are not equally many.
        """
        if self.stop.number is not None and not self.processes.leads:
            self.processes.leave_word(_STOP, str(self.stop.number))
        word = self.processes.word(_STOP) if self.stop.number is None else None
        return self.stop.number if word is None else int(word)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any = None, batch: Any = None, index: int = 0
    ) -> None:
        if module.step == self.progress.step:
            return  # a micro-batch inside a step
        self.progress.step = module.step
        if module.fault is not None:
            self._skip(module.fault)
        elif module.losses:  # else no label was there to learn from
            self._take(trainer, module)
        due, stop = self._agree(module.asked)
        if trainer.is_last_batch:
            return  # an epoch's end is validated first
        if due or stop is not None:
            self._save(trainer, module)
        if stop is not None:
            self._stop(stop, module.step)
        self._keep_before_last(trainer, module, index)

    def _ask(self) -> list[bool]:
        """Signals that came to this process, and whether the leader's clock says that a checkpoint is due."""
        late = time.monotonic() - self.saved_at >= 60 * self.config.checkpoint.minutes
        return [*(self.stop.number == number for number in STOPS), self.processes.leads and late]

    def _agree(self, asked: list[bool] | None) -> tuple[bool, int | None]:
        """Whether a checkpoint is due, and the signal that asks all to stop.

        One that came to this process since they asked one another is left for the next time.
        """
        *signals, late = self.processes.any(*self._ask()) if asked is None else asked
        stop = next((number for number, came in zip(STOPS, signals, strict=True) if came), None)
        steps = self.config.checkpoint.steps
        due = late or (steps is not None and self.progress.step - self.saved_step >= steps)
        # Amid bad steps, what led there may be wrong already: the checkpoints before them stay.
        return due and not self.progress.guard.in_a_row, stop

    def stop_after_all(self, step: int) -> None:
        """Raises Interrupted where a signal came too late for the last step."""
        if self.stop.number is not None:
            self._stop(self.stop.number, step)

    def _stop(self, number: int, step: int) -> NoReturn:
        raise Interrupted(
            f"interrupted after step {step}; a checkpoint was written: go on with "
            f"`{self.run.command('train --resume')}`",
            number,
        )

    def _take(self, trainer: pl.Trainer, module: TrainingModule) -> None:
        self.loss = self.loss.to(module.loss.device) + module.loss.double()
        self.progress.n_losses += 1
        self.norms.append(module.gradient_norm)
        if module.step % self.config.log_every == 0:
            values = {task: {"loss": float(loss)} for task, loss in module.losses.items()}
            for task, factor in module.balancer.told().items():
                values.setdefault(task, {})["weight"] = factor
            for (one, other), cosine in cosines(module.balancer, module.whole).items():
                values[one][f"cosine.{other}"] = cosine
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            total = {"loss": float(module.loss), "gradient_norm": float(module.gradient_norm), "lr": lr}
            self._write_metrics(trainer, module, "train", {"": total, **values})

    def _skip(self, fault: str) -> None:
        """Tells of a step that was not taken. Raises NumericError where it is one too many in a row."""
        guard = self.progress.guard
        self._tell(f"warning: {fault}; the step was not taken ({guard.skipped} so far)")
        if guard.in_a_row >= self.config.guard.in_a_row:
            raise NumericError(
                f"{fault}; {guard.in_a_row} bad steps in a row end training (training.guard.in_a_row); the "
                "last checkpoint is from before them; start a run with a lower training.optimizer.lr, or "
                "check these samples"
            )

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.report = report = module.evaluator.compute()
        metrics = {task: {"loss": r["loss"], **r["metrics"]} for task, r in report.items()}
        self._write_metrics(trainer, module, "validation", metrics)
        if self.epoch(trainer) >= self.config.pretrained:
            self._keep_best(trainer, module, self.monitor(report))

    def _keep_best(self, trainer: pl.Trainer, module: Any, value: float) -> None:
        best = self.progress.best
        better = best is None or (value > best if self.direction == "max" else value < best)
        if better and math.isfinite(value):
            self.progress.best, self.progress.stale = value, 0
            self.progress.best_step = self.progress.step
            self.best = self._snapshot(trainer, module)
        else:
            self.progress.stale += 1
            if self.config.patience is not None and self.progress.stale >= self.config.patience:
                trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        epoch = self.epoch(trainer)
        self._warn_of_gradients(epoch)
        n = self.progress.n_losses
        loss = float(self.loss) / n if n else math.nan
        self.loss, self.progress.n_losses = torch.zeros_like(self.loss), 0
        self.progress.done = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        line = f"epoch {epoch + 1}  step {module.step}  loss {loss:.4f}"
        if self.report is not None:
            best = "none yet" if self.progress.best is None else f"best {self.progress.best:.4f}"
            line += f"  monitor {self.monitor(self.report):.4f}"
            if epoch < self.config.pretrained:
                best = "pretraining"
            elif self.progress.stale == 0:
                best = "best"
            line += f"  ({best})"
        self._tell(line)  # before it is kept: a kill between them has it told twice rather than never
        if self.progress.done and self.report is not None and self.progress.best is None:
            self._tell(f"warning: {_UNCHOSEN}")
        due, stop = self._agree(None)
        if due or self.progress.done or stop is not None:
            self._save(trainer, module)
        if stop is not None and not self.progress.done:
            self._stop(stop, module.step)

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
            self._tell(f"warning: {problem}", f"epoch {epoch + 1}  ")

    def _tell(self, line: str, where: str = "") -> None:
        if self.processes.leads:
            self.run.log(where + line)
            self.say(line)

    def _write_metrics(
        self, trainer: pl.Trainer, module: TrainingModule, split: str, values: dict[str, dict[str, float]]
    ) -> None:
        if self.processes.leads:
            self.run.add_metrics(module.step, self.epoch(trainer), split, values)

    def _checkpoint(self, trainer: pl.Trainer, module: Any) -> Checkpoint:
        self.progress.loss = float(self.loss)
        # Before the first step of a sitting nobody has taken up what is his.
        mine = {id: _on_cpu(row) for id, row in module.carried.states.items()}
        carried: Rows = dict(module.carried.restored) if module.step == module.first_step else {}
        for states in self.processes.gather(mine):
            carried |= states
        return Checkpoint(
            module.state_dict(),
            moments_of(trainer.optimizers[0]),
            self.progress,
            module.model.facts.to_json(),
            carried,
        )

    def _snapshot(self, trainer: pl.Trainer, module: Any) -> Checkpoint | None:
        """Where training stands, to be written later; only the leader writes."""
        checkpoint = self._checkpoint(trainer, module)
        return _copied(checkpoint) if self.processes.leads else None

    def _save(self, trainer: pl.Trainer, module: Any) -> None:
        """Writes where training stands, after the best epoch where that is another than on disk."""
        checkpoint = self._checkpoint(trainer, module)
        if self.processes.leads:
            self._write(checkpoint)
        self.best = None
        self.saved_at, self.saved_step = time.monotonic(), self.progress.step

    def _write(self, checkpoint: Checkpoint) -> None:
        if self.best is not None:
            self.checkpoints.save_best(self.best)
        self.checkpoints.save(checkpoint)


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same as of now, each with memory of its own in the host."""
    return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def _copied(checkpoint: Checkpoint) -> Checkpoint:
    """The same as of now, in the host's memory; training goes on in place."""
    return replace(
        checkpoint,
        weights=_on_cpu(checkpoint.weights),
        moments=_on_cpu(checkpoint.moments),
        progress=replace(checkpoint.progress, guard=replace(checkpoint.progress.guard)),
    )
