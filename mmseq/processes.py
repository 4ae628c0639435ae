"""The processes that work on one run together: who is here, and what they tell one another.

`torchrun` and `srun` start the same command once for each process, and tell each its place in the
environment; so does `mmseq.launch` on one machine. Nothing here is about tensors of the model: gradients
are summed by DistributedDataParallel.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from mmseq.errors import ProcessLost
from mmseq.place import LISTENING, Place, launched

Result = TypeVar("Result")

_FAILED = "failed"
_LONG, _LEADER_FIRST = timedelta(hours=24), 2.0


def _rendezvous(environment: Any = os.environ) -> tuple[str, int]:
    """Address and port of the first process."""
    if "MASTER_ADDR" in environment and "MASTER_PORT" in environment:
        return environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    from lightning_fabric.plugins.environments import SLURMEnvironment

    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_NODELIST", "127.0.0.1"))
    port = 15_000 + int(environment.get("SLURM_JOB_ID", "0")) % 10_000
    return SLURMEnvironment.resolve_root_node_address(nodes), port


@dataclass(frozen=True)
class Processes:
    """All processes of a run, seen from one of them. Every process has to make the same calls.

    Attributes:
        place: of this one.
        group: over which they tell one another; None: there is no other.
        store: where they leave word for one another.
    """

    place: Place = field(default_factory=Place)
    group: Any = None
    store: Any = None

    @property
    def leads(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.place.rank == 0

    @property
    def rank(self) -> int:
        return self.place.rank

    @property
    def size(self) -> int:
        return self.place.size

    def first(self, work: Callable[[], Result]) -> Result:
        """The leader works before the others; each then works for itself, and finds what the leader left."""
        if self.leads:
            result = work()
            self.barrier()
            return result
        self.barrier()
        return work()

    def tell(self, value: Result) -> Result:
        """What the leader has, to all."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, src=0, group=self.group)
        return told[0]

    def gather(self, value: Result) -> list[Result]:
        """What each has, in order, for the leader; nothing for the others."""
        if self.size == 1:
            return [value]
        parts: list[Any] | None = [None] * self.size if self.leads else None
        distributed.gather_object(value, parts, dst=0, group=self.group)
        return parts or []

    def total(self, values: Sequence[float] | Tensor) -> Tensor:
        """Sums over processes, in float64, of numbers that all have."""
        numbers = torch.as_tensor(values, dtype=torch.float64, device="cpu")
        if self.size == 1:
            return numbers
        numbers = numbers.clone()
        distributed.all_reduce(numbers, group=self.group)
        return numbers

    def any(self, *flags: bool) -> list[bool]:
        """For each flag, whether it is set anywhere."""
        if self.size == 1:
            return list(flags)
        return [n > 0 for n in self.total([float(flag) for flag in flags]).tolist()]

    def barrier(self) -> None:
        """Waits for all."""
        if self.size > 1:
            distributed.barrier(group=self.group)

    def leave_word(self, name: str, word: str) -> None:
        """For the leader, which looks for it when it likes; nobody waits."""
        if self.store is not None:
            self.store.set(name, word)

    def word(self, name: str) -> str | None:
        """What another process left under a name, for the leader alone to see; None: nothing."""
        if self.store is None or not self.leads or not self.store.check([name]):
            return None
        return self.store.get(name).decode()

    def _tell_failure(self, exit_code: int) -> dict[str, Any]:
        """Leaves word of a failure here; what comes back is of the process that failed first.

        Of an error that all have alike it is the leader that tells it.
        """
        mine = {"rank": self.rank, "exit_code": exit_code}
        try:
            deadline = time.monotonic() + (0 if self.leads else _LEADER_FIRST)
            while time.monotonic() < deadline and not self.store.check([_FAILED]):
                time.sleep(0.05)
            return json.loads(self.store.compare_set(_FAILED, "", json.dumps(mine)))
        except distributed.DistError:  # the process that keeps the words has ended, and told why
            return {"rank": 0, "exit_code": exit_code}

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """An error in one process ends all: that one tells it, the others end silently with its exit code.

        Raises:
            ProcessLost: another process failed, which tells why itself, or ended without a word.
        """
        try:
            yield
        except BaseException as error:
            if self.size == 1:
                raise
            asked = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
            code = getattr(error, "exit_code", asked)  # ours have one, and those of the command line
            if isinstance(error, Exception) and code == 0:
                raise
            first = self._tell_failure(code)
            if first["rank"] != self.rank:
                raise ProcessLost("", first["exit_code"]) from None
            if _is_of_others(error):
                raise ProcessLost(
                    f"process {self.rank} of {self.size}: another one ended without a word, or cannot be "
                    f"reached any more ({_in_short(error)}); go on with --resume",
                    1,
                ) from error
            raise


def _is_of_others(error: BaseException) -> bool:
    """Whether an exception says that talking to another process failed."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "by peer", "NCCL"))


def _in_short(error: BaseException) -> str:
    """What a library says of a lost connection, without where in its source, and what to make of it."""
    return re.sub(r"^\[\S*:\d+\] ", "", str(error).splitlines()[0]).partition(". ")[0]


ALONE = Processes()
_met, _meetings = ALONE, itertools.count()


@cache
def _words(place: Place) -> Any:
    """Where processes leave words for one another, for as long as they live."""
    address, port = _rendezvous()
    # torchrun's own agent keeps them where it says so; else the first process does.
    keeps = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    listening = os.environ.pop(LISTENING, None)
    return distributed.TCPStore(
        address, port, place.size, keeps, timedelta(minutes=10), False,
        master_listen_fd=int(listening) if keeps and listening is not None else None,
    )  # fmt: skip


@contextmanager
def together() -> Iterator[Processes]:
    """Meets the other processes, where a launcher started any, until the block ends.

    In a block inside another they have met already.
    """
    global _met
    place = launched()
    if place is None or _met.size > 1:
        yield _met
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    attempt = f"mmseq {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}.{next(_meetings)}"
    store = distributed.PrefixStore(attempt, _words(place))
    distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.size)
    _met = Processes(place, distributed.new_group(backend="gloo", timeout=_LONG), store)
    try:
        with _met.ending_together():
            yield _met
            _met.barrier()  # nobody leaves while another may still have to tell of a failure
    finally:
        _met = ALONE
        distributed.destroy_process_group()
