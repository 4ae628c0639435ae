"""Batches for training and evaluation, in an order that is a function of (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.batch.order import Order
from mmseq.config.experiment import TrainingConfig
from mmseq.random import hash_key

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Micro:
    """One micro-batch: a part of the global batch of one optimizer step."""

    step: int
    samples: np.ndarray
    part: int = 0
    parts: int = 1


class _Micros(Dataset):
    """Assembles the micro-batches that are asked for; `seed` None is evaluation."""

    def __init__(self, assembler: Assembler, micros: list[Micro], seed: int | None) -> None:
        self.assembler, self.micros, self.seed = assembler, micros, seed

    def __len__(self) -> int:
        return len(self.micros)

    def __getitem__(self, i: int) -> Batch:
        micro = self.micros[i]
        if self.seed is None:
            return self.assembler.batch(micro.samples)
        return self.assembler.micro_batch(
            micro.samples, micro.part, micro.parts, hash_key(self.seed, micro.step)
        )


def evaluation_loader(
    assembler: Assembler, samples: np.ndarray, size: int = EVALUATION_BATCH, workers: int = 0
) -> DataLoader:
    """Each sample once, those of like length together."""
    order = samples[np.argsort(assembler.store.lengths[samples], kind="stable")]
    micros = [Micro(0, order[i : i + size]) for i in range(0, len(order), size)]
    return _loader(_Micros(assembler, micros, None), workers)


def _loader(dataset: Dataset, workers: int) -> DataLoader:
    return DataLoader(dataset, batch_size=None, shuffle=False, num_workers=workers, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch


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
        return _loader(_Micros(self.assembler, micros, self.seed), self.config.workers)

    def val_dataloader(self) -> DataLoader | list[DataLoader]:
        if not len(self.validation):
            return []
        return evaluation_loader(self.assembler, self.validation, workers=self.config.workers)
