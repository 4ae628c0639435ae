"""A store that was given is held to the configuration."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.errors import CheckpointError, DataError
from mmseq.sources import Pivot, Reading
from mmseq.store import Plan
from mmseq.store.manifest import Manifest, RowsEntry, Shard, file_entry, write_manifest
from mmseq.store.npy import write_npy
from mmseq.store.plan import SCHEMA
from mmseq.store.ready import open_ready

PLAN = Plan(
    modalities={
        "labs": Reading("labs", "t", ("hb", "na")),
        "ward": Reading("samples", None, codes=("ward",)),
    },
    tasks={"y": Reading("labels", None, ("y",))},
    unit="hours",
    resolution=3600.0,
)


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """Of two samples, written by hand."""

    root = tmp_path / "ready"
    (root / "shard-00000").mkdir(parents=True)
    beside = {
        "ids": np.array(["a", "b"]), "steps.index": np.array([0, 2, 3]), "index.labs": np.array([0, 1, 3]),
        "index.ward": np.array([0, 1, 2]), "index.y": np.array([0, 1, 1]),
    }  # fmt: skip
    arrays = {
        "steps.time": np.array([1.0, 2.0, 1.0]), "rows.labs.step": np.array([1, 0, 0], np.int32),
        "rows.labs.values": np.ones((3, 2), np.float32), "rows.ward.code": np.zeros((2, 1), np.int32),
        "rows.y.values": np.ones((1, 1), np.float32),
    }  # fmt: skip
    for folder, own in ((root, beside), (root / "shard-00000", arrays)):
        for name, array in own.items():
            write_npy(folder / f"{name}.npy", array)
    always: dict[str, Any] = {"dtype": "float32", "report": {}}

    def entry(n_rows: int, timed: bool, numbers: list[str], shared: bool = False, **codes: Any) -> RowsEntry:
        none: dict[str, Any] = {"codes": [], "vocabularies": []}
        known: dict[str, Any] = {"timed": timed, "numbers": numbers, "shared_steps": shared, **always}
        return RowsEntry(n_rows=n_rows, **known, **(none | codes))

    files = {path.name: file_entry(path) for path in (root / "shard-00000").iterdir()}
    manifest = Manifest(
        schema_version=SCHEMA, fingerprint="by hand", plan={"resolution": 3600.0, "anchor": None},
        clock="number", unit="hours", n_samples=2, n_steps=3,
        modalities={
            "labs": entry(3, True, ["hb", "na"], True),
            "ward": entry(2, False, [], codes=["ward"], vocabularies=[["x"]]),
        },
        tasks={"y": entry(1, False, ["y"])}, group_names=None,
        files={f"{name}.npy": file_entry(root / f"{name}.npy") for name in beside},
        shards=[Shard(first=0, stop=2, n_steps=3, files=files)],
    )  # fmt: skip
    write_manifest(root, manifest)
    return root


def test_as_asked(ready: Path) -> None:
    assert len(open_ready(ready, PLAN)) == 2


def test_a_pivoted_table_has_the_columns_that_there_are(ready: Path) -> None:
    """Or, where they are named, those alone. Caught: columns compared where none are named."""
    pivoted = Reading("labs", "t", pivot=Pivot("code", "value"))
    assert len(open_ready(ready, _with(labs=pivoted))) == 2
    with pytest.raises(DataError, match=r"modalities\.labs\.numbers must be \['na'\]"):
        open_ready(ready, _with(labs=replace(pivoted, numbers=("na",))))


def _with(**readings: Reading) -> Plan:
    return replace(PLAN, modalities={**PLAN.modalities, **readings})


OTHERS = {
    "unit must be days": replace(PLAN, unit="days"),
    "plan.resolution must be 60.0": replace(PLAN, resolution=60.0),
    "plan.anchor must be labs": replace(PLAN, anchor="labs"),
    "modalities must be ['drugs', 'labs', 'ward']": _with(drugs=Reading("drugs", "t", codes=("drug",))),
    "modalities.labs.timed must be False": _with(labs=Reading("labs", None, ("hb", "na"))),
    "modalities.labs.numbers must be ['na', 'hb']": _with(labs=Reading("labs", "t", ("na", "hb"))),
    "modalities.ward.codes must be ['unit']": _with(ward=Reading("samples", None, codes=("unit",))),
    "tasks must be []": replace(PLAN, tasks={}),
    "files must be with splits.npy": replace(PLAN, split="part"),
}


@pytest.mark.parametrize("told", OTHERS)
def test_what_differs_is_told(ready: Path, told: str) -> None:
    """Caught, one by one: each comparison left out."""
    with pytest.raises(DataError) as caught:
        open_ready(ready, OTHERS[told])
    assert str(caught.value).startswith(
        f"{ready / 'manifest.json'}: {told}, as the configuration asks; it is "
    )
    assert "leave data.prepared out" in str(caught.value)


def test_it_is_checked_as_any_store_is(ready: Path) -> None:
    """Caught: the manifest trusted unread."""
    content = (ready / "manifest.json").read_bytes()
    (ready / "manifest.json").write_bytes(json.dumps({**json.loads(content), "n_steps": 4}).encode())
    with pytest.raises(CheckpointError, match="altered"):
        open_ready(ready, PLAN)
    shutil.rmtree(ready)
    with pytest.raises(CheckpointError, match="there is none"):
        open_ready(ready, PLAN)
