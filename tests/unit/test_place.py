"""What launchers say of a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mmseq.errors import ConfigError
from mmseq.place import Place, launched, leads

TORCHRUN = {
    "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"
}  # fmt: skip
SRUN = {
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "3", "SLURM_NODEID": "1",
    "SLURM_LOCALID": "1", "SLURM_NTASKS": "8",
}  # fmt: skip


def _without(told: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in told.items() if name not in names}


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({}, None),
        (TORCHRUN, Place(5, 8, 1, 4)),
        (_without(TORCHRUN, "LOCAL_RANK", "LOCAL_WORLD_SIZE"), Place(5, 8, 0, 8)),
        ({**TORCHRUN, "RANK": "0", "WORLD_SIZE": "1"}, None),
        (
            SRUN,
            Place(5, 8, 1, 4),
        ),  # tasks may be dealt to the nodes in turn: the processes of one stand together
        ({**SRUN, **TORCHRUN, "RANK": "7"}, Place(7, 8, 1, 4)),  # torchrun in an allocation
        (_without(SRUN, "SLURM_PROCID"), None),  # in a batch script, outside srun
        ({"SLURM_NTASKS": "8", "SLURM_JOB_ID": "1"}, None),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0"}, None),
    ],
)
def test_a_place_is_read_from_the_environment(told: dict[str, str], place: Place | None) -> None:
    """Caught: SLURM's own rank, by which a node's processes lie apart; an allocation taken for a launch."""
    assert launched(told) == place


def test_nodes_with_different_numbers_of_tasks_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"srun: 7 tasks on 2 nodes; needs as many on each: give --ntasks-"):
        launched({**SRUN, "SLURM_STEP_NUM_TASKS": "7"})


def test_each_process_of_a_step_has_a_place_of_its_own() -> None:
    places = [
        launched({**SRUN, "SLURM_NODEID": str(node), "SLURM_LOCALID": str(local)})
        for node in range(2)
        for local in range(4)
    ]
    assert [place.rank for place in places if place] == list(range(8))
    assert [place.node for place in places if place] == [0] * 4 + [1] * 4
    assert {place.nodes for place in places if place} == {2}


def test_the_first_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert leads()
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    assert not leads()
    monkeypatch.setenv("RANK", "0")
    assert leads()


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys, mmseq.place, mmseq.launch\n"
        "print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
