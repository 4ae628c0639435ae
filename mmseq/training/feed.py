"""What the trainer draws from, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import Micro, Micros, evaluation_loader, loader, windows
from mmseq.batch.order import Order
from mmseq.config.training import TrainingConfig
from mmseq.processes import ALONE, Processes
from mmseq.store import Window


class Feed(pl.LightningDataModule):
    """What the trainer draws from: each epoch's micro-batches, from where an earlier sitting stopped.

    Args:
        assembler: makes the batches.
        order: the global batches of each epoch.
        validation: samples to choose the best epoch by; may be none.
        config: the training section.
        seed: of the run.
        step: optimizer steps that were taken before.
        processes: that share each global batch, this one's part of which is drawn.
    """

    def __init__(
        self,
        assembler: Assembler,
        order: Order,
        validation: np.ndarray,
        config: TrainingConfig,
        seed: int,
        step: int,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        self.processes = processes
        self.assembler, self.order, self.validation = assembler, order, validation
        self.config, self.seed = config, seed
        sizes = [self._n_steps(epoch) for epoch in range(config.all_epochs)]
        self.first_steps = np.cumsum([0, *sizes])  # of each epoch, and the number of steps in all
        self.first_epoch = int(np.searchsorted(self.first_steps, step, side="right")) - 1
        self.skipped = step - int(self.first_steps[self.first_epoch])

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return int(self.first_steps[-1])

    @property
    def pretraining_steps(self) -> int:
        """Those of the first stage."""
        return int(self.first_steps[self.config.pretrained])

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        return self.batches(self.first_epoch + self.trainer.current_epoch)

    def _n_steps(self, epoch: int) -> int:
        """Optimizer steps of an epoch."""
        if self.config.window is None:
            return self.order.n_batches(epoch)
        return sum(len(self._windows(samples)) for samples in self.order.epoch(epoch))

    def _windows(self, samples: np.ndarray) -> Sequence[Window | None]:
        return windows(int(self.assembler.store.lengths[samples].max()), self.config.window)

    def batches(self, epoch: int) -> DataLoader:
        """The micro-batches of an epoch of the run, but for those that were trained on before."""
        skipped = int(self.first_steps[epoch])
        if epoch == self.first_epoch:
            skipped += self.skipped
        each = self.config.accumulation
        parts, first_part = each * self.processes.size, each * self.processes.rank
        mine = range(first_part, first_part + each)
        step, micros = int(self.first_steps[epoch]), []
        for samples in self.order.epoch(epoch):
            first = step
            for window in self._windows(samples):
                if step >= skipped:
                    micros += [Micro(first, samples, part, parts, window) for part in mine]
                step += 1
        return loader(Micros(self.assembler, micros, self.seed), self.config.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        if not len(self.validation):
            return []
        workers, window = self.config.workers, self.config.window
        return evaluation_loader(
            self.assembler, self.validation, workers=workers, window=window, processes=self.processes
        )
