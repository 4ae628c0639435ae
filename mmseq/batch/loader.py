"""Batches one after another: micro-batches of training, or each sample once."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.processes import ALONE, Processes
from mmseq.random import hash_key
from mmseq.signals import STOPS

if TYPE_CHECKING:
    from mmseq.store import Window

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Micro:
    """One micro-batch: a part of the global batch, or of one window of it, of one optimizer step.

    Attributes:
        step: of the optimizer, at which the global batch begins: all its windows draw the same noise.
        samples: of the global batch.
        part, parts: which micro-batch of how many.
        window: the steps [first, last) of each sample; None: all.
        hide: in evaluation, whether cells are hidden.
    """

    step: int
    samples: np.ndarray
    part: int = 0
    parts: int = 1
    window: Window | None = None
    hide: bool = False


class Micros(Dataset):
    """Assembles the micro-batches that are asked for; `seed` None is evaluation."""

    def __init__(self, assembler: Assembler, micros: list[Micro], seed: int | None) -> None:
        self.assembler, self.micros, self.seed = assembler, micros, seed

    def __len__(self) -> int:
        return len(self.micros)

    def __getitem__(self, i: int) -> Batch:
        micro = self.micros[i]
        if self.seed is None:
            return self.assembler.batch(micro.samples, window=micro.window, hide=micro.hide)
        seed = hash_key(self.seed, micro.step)
        return self.assembler.micro_batch(micro.samples, micro.part, micro.parts, seed, micro.window)


def windows(longest: int, width: int | None) -> Sequence[Window | None]:
    """The windows of a batch, one after another; a single None where it is taken whole."""
    if width is None or longest <= width:
        return [None]
    return [(first, first + width) for first in range(0, longest, width)]


def evaluation_loader(
    assembler: Assembler,
    samples: np.ndarray,
    size: int = EVALUATION_BATCH,
    workers: int = 0,
    window: int | None = None,
    processes: Processes = ALONE,
) -> DataLoader:
    """Each sample once in one of the processes, those of like length together; long ones window after window.

    Tasks that hide cells are asked in a pass of their own, after the others. The batches are the same
    whatever the number of processes, which take turns. The negatives of a next event are of these samples,
    too. Where a process has no sample, there is a batch without one.
    """
    lengths = assembler.store.lengths
    order = samples[np.argsort(lengths[samples], kind="stable")]
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    # To have no batch at all would be to take no part, or to tell no column.
    mine = batches[processes.rank :: processes.size] or [order[:0]]
    micros = [
        Micro(0, batch, window=part, hide=hide)
        for hide in assembler.passes
        for batch in mine
        for part in windows(int(lengths[batch].max(initial=0)), window)
    ]
    # Not from the training split: events that the model was trained on could be told by that alone.
    return loader(Micros(assembler.drawing_from(samples), micros, None), workers)


def loader(dataset: Dataset, workers: int) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=None,
        shuffle=False,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals_to_the_parent if workers else None,
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    """One that is sent to all processes would end the workers before the parent has written a checkpoint."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:
    return batch
