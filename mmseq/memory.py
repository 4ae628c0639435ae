"""Memory between steps, and a batch that does not fit into it."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from mmseq.batch import Batch
from mmseq.errors import MemoryShort

_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
_OF_ONEDNN = ("could not create a primitive", "could not execute a primitive")
"""All that oneDNN says of an LSTM that does not fit; of one that it cannot do it says more."""

FREE_SOME = (
    "free some, or go where there is more; `predict` can be given fewer samples at a time, and a run with "
    "training.window reads long ones in parts"
)
"""What to do where nothing is learned: batches have no size that could be lowered."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers of its settings, malloc.h
_LARGEST = 32 * 2**20  # the highest _MMAP_THRESHOLD that it takes, which it comes to by itself
_TUNABLES = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


@contextmanager
def keeping_freed() -> Iterator[None]:
    """Has the C library keep what is freed for what is asked for next, and give it back at the end.

    The steps of a training free and ask for the same tens of megabytes. Given back to the kernel, they come
    as new pages, each to be mapped and cleared: a tenth or more of a step. Only glibc is told so, and only
    where the environment does not tune it already.
    Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_THRESHOLD.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _TUNABLES):
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST)
        libc.malloc_trim(0)


@contextmanager
def telling_shortage(what: Callable[[], tuple[str, Batch | None]], remedy: str) -> Iterator[None]:
    """Memory that runs out is told with the batch that did not fit.

    Args:
        what: gives where that was, and the batch; None: there was none yet.
        remedy: what to do.

    Raises:
        MemoryShort: memory of a device or of the host ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        where, batch = what()
        told = f"{where}: memory ran out{'' if batch is None else _size(batch)}; {_said(error)}; {remedy}"
        raise MemoryShort(told) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of a device or of the host."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and (said in _OF_ONEDNN or any(word in said for word in _WORDS))


def _size(batch: Batch) -> str:
    lengths = batch.timeline.lengths_list
    events = ", ".join(f"{len(own):,} of {name}" for name, own in batch.events.items())
    return (
        f" on a batch of {len(batch.ids)} samples with {sum(lengths):,} steps (the longest has "
        f"{max(lengths, default=0):,}) and these events: {events}"
    )


def _said(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
