"""A batch that does not fit into memory."""

from __future__ import annotations

import torch

from mmseq.run import Run
from mmseq.training.module import TrainingModule

_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of a device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def out_of_memory(error: BaseException, module: TrainingModule, run: Run) -> str:
    """What did not fit, and what to do."""
    told = f"step {module.step}: memory ran out"
    if module.micros:
        batch, _ = module.micros[-1]
        lengths = batch.timeline.lengths_list
        events = ", ".join(f"{len(own):,} of {name}" for name, own in batch.events.items())
        told += (
            f" on a batch of {len(batch.ids)} samples with {sum(lengths):,} steps (the longest has "
            f"{max(lengths, default=0):,}) and these events: {events}"
        )
    return (
        f"{told}; {str(error).splitlines()[0] if str(error) else type(error).__name__}; lower "
        "training.batch.samples (or set training.batch.steps), raise training.accumulation, or set "
        f"training.window or training.recompute; the last checkpoint is whole: {run.path / 'checkpoints'}"
    )
