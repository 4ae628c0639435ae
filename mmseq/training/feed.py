"""What the trainer draws from, epoch by epoch."""

from __future__ import annotations

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from mmseq.batch.assemble import Assembler
from mmseq.batch.loader import Micro, Micros, evaluation_loader, loader
from mmseq.batch.order import Order
from mmseq.config.training import TrainingConfig


class Feed(pl.LightningDataModule):
    """What the trainer draws from: each epoch's micro-batches, from where an earlier sitting stopped.

    Args:
        assembler: makes the batches.
        order: the global batches of each epoch.
        validation: samples to choose the best epoch by; may be none.
        config: the training section.
        seed: of the run.
        step: optimizer steps that were taken before.
    """

    def __init__(
        self,
        assembler: Assembler,
        order: Order,
        validation: np.ndarray,
        config: TrainingConfig,
        seed: int,
        step: int,
    ) -> None:
        super().__init__()
        self.assembler, self.order, self.validation = assembler, order, validation
        self.config, self.seed = config, seed
        sizes = [order.n_batches(epoch) for epoch in range(config.epochs)]
        self.first_steps = np.cumsum([0, *sizes])  # of each epoch, and the number of steps in all
        self.first_epoch = int(np.searchsorted(self.first_steps, step, side="right")) - 1
        self.skipped = step - int(self.first_steps[self.first_epoch])

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return int(self.first_steps[-1])

    def train_dataloader(self) -> DataLoader:
        assert self.trainer is not None
        return self.batches(self.first_epoch + self.trainer.current_epoch)

    def batches(self, epoch: int) -> DataLoader:
        """The micro-batches of an epoch of the run, but for those that were trained on before."""
        skipped = self.skipped if epoch == self.first_epoch else 0
        parts = self.config.accumulation
        micros = [
            Micro(int(self.first_steps[epoch]) + i, samples, part, parts)
            for i, samples in enumerate(self.order.epoch(epoch))
            if i >= skipped
            for part in range(parts)
        ]
        return loader(Micros(self.assembler, micros, self.seed), self.config.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        if not len(self.validation):
            return []
        return evaluation_loader(self.assembler, self.validation, workers=self.config.workers)
