"""Where this process stands among those that a launcher started; imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from mmseq.errors import ConfigError

LISTENING = "MMSEQ_LISTENING"
"""Names, to the first process, a socket that listens already where all are to meet, by its descriptor."""


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
    def node(self) -> int:
        return self.rank // self.local_size

    @property
    def nodes(self) -> int:
        return self.size // self.local_size


def launched(environment: Mapping[str, str] = os.environ) -> Place | None:
    """What a launcher of several processes says of this one; None where there is none.

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


def one_process(verb: str) -> None:
    """Raises ConfigError where a launcher started several processes for a verb that needs one."""
    if launched() is not None:
        raise ConfigError(f"{verb}: works in one process; start it without torchrun or srun")


def leads() -> bool:
    """Whether this process is the one that prints and writes."""
    place = launched()
    return place is None or place.rank == 0
