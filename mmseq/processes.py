"""The processes that work on one run together: who is here, and what they tell one another.

`torchrun` and `srun` start the same command once for each process, and tell each its place in the
environment; so does `mmseq.launch` on one machine. Nothing here is about tensors of the model: gradients
are summed by DistributedDataParallel.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from mmseq.errors import ConfigError, MmseqError, ProcessLost

Result = TypeVar("Result")

_FAILED, _LONG = "mmseq failed", timedelta(hours=24)


@dataclass(frozen=True)
class Place:
    """Where a process stands among all.

    Attributes:
        rank, size: which of how many.
        local_rank, local_size: the same on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def nodes(self) -> int:
        return self.size // self.local_size


def launched(environment: Any = os.environ) -> Place | None:
    """What a launcher says of this process; None where there is none.

    Raises:
        ConfigError: the machines have different numbers of processes.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:  # torchrun, mmseq.launch
        size = int(environment["WORLD_SIZE"])
        local_size = int(environment.get("LOCAL_WORLD_SIZE", size))
        place = Place(int(environment["RANK"]), size, int(environment.get("LOCAL_RANK", 0)), local_size)
    elif "SLURM_STEP_NUM_TASKS" in environment and "SLURM_PROCID" in environment:  # srun
        size, nodes = (int(environment[f"SLURM_STEP_NUM_{what}"]) for what in ("TASKS", "NODES"))
        local_size, local_rank = size // nodes, int(environment["SLURM_LOCALID"])
        if size % nodes:
            raise ConfigError(
                f"srun: {size} tasks on {nodes} nodes; needs as many on each: give --ntasks-per-node"
            )
        rank = int(environment["SLURM_NODEID"]) * local_size + local_rank
        place = Place(rank, size, local_rank, local_size)
    else:
        return None
    return place if place.size > 1 else None


def _rendezvous(environment: Any = os.environ) -> tuple[str, int]:
    """Address and port of the first process."""
    if "MASTER_ADDR" in environment and "MASTER_PORT" in environment:
        return environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    from lightning_fabric.plugins.environments import SLURMEnvironment

    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_NODELIST", "127.0.0.1"))
    port = 15_000 + int(environment.get("SLURM_JOB_ID", "0")) % 10_000
    return SLURMEnvironment.resolve_root_node_address(nodes), port


def leads() -> bool:
    """Whether this process is the one that prints and writes."""
    place = launched()
    return place is None or place.rank == 0


@dataclass(frozen=True)
class Processes:
    """All processes of a run, seen from one of them. Every process has to make the same calls.

    Attributes:
        place: of this one.
        group: over which they tell one another; None: there is no other.
        store: where one that fails leaves word.
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

    def _other_failure(self) -> dict[str, Any] | None:
        """What another process left word of; that it cannot be reached counts as well."""
        try:
            told = json.loads(self.store.get(_FAILED)) if self.store.check([_FAILED]) else None
        except Exception:  # the first process, which keeps the word, has ended
            return {"rank": 0, "exit_code": 1}
        return None if told is None or told["rank"] == self.rank else told

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
            other = self._other_failure()
            if other is not None:
                raise ProcessLost("", other["exit_code"]) from None
            if _is_of_others(error):
                raise ProcessLost(
                    f"process {self.rank} of {self.size}: another process ended without a word, or cannot be "
                    f"reached any more ({str(error).splitlines()[0]}); go on with --resume",
                    1,
                ) from error
            code = error.exit_code if isinstance(error, MmseqError) else 1
            self.store.set(_FAILED, json.dumps({"rank": self.rank, "exit_code": code}))
            raise


def _is_of_others(error: BaseException) -> bool:
    """Whether an exception says that talking to another process failed."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ("gloo", "by peer", "NCCL"))


ALONE = Processes()


@contextmanager
def together(accelerator: str = "cpu") -> Iterator[Processes]:
    """Meets the other processes, where a launcher started any, until the block ends.

    Args:
        accelerator: what computes: cpu or cuda.
    """
    place = launched()
    if place is None:
        yield ALONE
        return
    if distributed.is_initialized():
        raise ConfigError("processes: they have met already; train one run after another")
    address, port = _rendezvous()
    if accelerator == "cuda":
        torch.cuda.set_device(place.local_rank)
    # torchrun's own agent keeps the words where it says so; else the first process does.
    keeps = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    words = distributed.TCPStore(address, port, place.size, keeps, timedelta(minutes=10), False)
    store = distributed.PrefixStore(f"mmseq {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", words)
    backend = "nccl" if accelerator == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=place.rank, world_size=place.size)
    processes = Processes(place, distributed.new_group(backend="gloo", timeout=_LONG), store)
    try:
        with processes.ending_together():
            yield processes
            processes.barrier()  # the first keeps the words: it leaves last
    finally:
        distributed.destroy_process_group()
