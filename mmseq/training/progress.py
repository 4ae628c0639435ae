"""A bar on a terminal, a line an epoch elsewhere."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar(pl.Callback):
    """Shows the steps of the epoch that is running.

    Args:
        console: where; not a terminal: only lines are shown.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress: Progress | None = None

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
        if self.console.is_terminal and not self.console.quiet:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, console=self.console, transient=True)
            self.progress.start()
            self.task = self.progress.add_task("step", total=module.total_steps, completed=module.first_step)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *_: Any) -> None:
        if self.progress is not None:
            self.progress.update(
                self.task, completed=module.step, description=f"epoch {trainer.current_epoch + 1}"
            )

    def teardown(self, trainer: pl.Trainer, module: Any, stage: str) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def on_exception(self, trainer: pl.Trainer, module: Any, exception: BaseException) -> None:
        self.teardown(trainer, module, "fit")
