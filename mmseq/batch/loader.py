"""Batches one after another: micro-batches of training, or each sample once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.random import hash_key

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Micro:
    """One micro-batch: a part of the global batch of one optimizer step."""

    step: int
    samples: np.ndarray
    part: int = 0
    parts: int = 1


class Micros(Dataset):
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
    return loader(Micros(assembler, micros, None), workers)


def loader(dataset: Dataset, workers: int) -> DataLoader:
    return DataLoader(dataset, batch_size=None, shuffle=False, num_workers=workers, collate_fn=_as_it_is)


def _as_it_is(batch: Any) -> Any:
    return batch
