"""Numbers that cannot be what they stand for are refused by the file that holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmseq.errors import CheckpointError
from mmseq.store import Store
from mmseq.store.form import Form, beside_forms
from mmseq.store.layout import STEP_TIME, row_file
from mmseq.store.manifest import RowsEntry
from mmseq.store.sound import check_bounds, check_codes, check_manifest, check_shard, check_text

Build = Callable[..., Store]
HERE = Path("here")


def entry(**changes: Any) -> RowsEntry:
    facts: dict[str, Any] = {
        "numbers": [], "codes": ["k"], "vocabularies": [["u", "v"]], "dtype": "float32", "timed": True,
        "n_rows": 3, "shared_steps": False, "report": {},
    }  # fmt: skip
    return RowsEntry(**{**facts, **changes})


def shard(
    time: list[float] = [0.0, 1.0, 0.0],  # noqa: B006 – nobody changes it
    step: list[int] = [0, 1, 0],  # noqa: B006
    code: list[int] = [1, -1, 0],  # noqa: B006
) -> None:
    """Checks a shard of two samples, of two steps and one, with two rows and one."""
    arrays = {
        STEP_TIME: np.array(time),
        row_file("c", "step"): np.array(step, np.int32),
        row_file("c", "code"): np.array(code, np.int32)[:, None],
    }
    bounds = np.array([0, 2, 3])
    check_shard(HERE, arrays, bounds, {"c": (entry(), bounds)})


def test_a_good_shard() -> None:
    shard()
    shard(time=[1.0, 1.0, 0.5], step=[1, 1, 0])  # equal ones rise, and samples begin anew
    check_shard(HERE, {STEP_TIME: np.zeros(0)}, np.array([0]), {})


@pytest.mark.parametrize(
    ("change", "file"),
    [
        ({"time": [1.0, 0.0, 0.0]}, STEP_TIME),
        ({"time": [np.nan, 1.0, 0.0]}, STEP_TIME),
        ({"time": [0.0, 1.0, np.inf]}, STEP_TIME),
        ({"step": [1, 0, 0]}, row_file("c", "step")),
        ({"step": [0, 2, 0]}, row_file("c", "step")),
        ({"step": [0, 1, 1]}, row_file("c", "step")),
        ({"step": [-1, 0, 0]}, row_file("c", "step")),
        ({"code": [2, 0, 0]}, row_file("c", "code")),
        ({"code": [0, 0, -2]}, row_file("c", "code")),
    ],
)
def test_other_shards(change: dict[str, Any], file: str) -> None:
    with pytest.raises(CheckpointError, match=f"here/{file}: .*; delete the store and prepare again"):
        shard(**change)


@pytest.mark.parametrize("bounds", [[1, 2, 3], [0, 2, 4], [0, 4, 3], [-1, 0, 3]])
def test_bounds(bounds: list[int]) -> None:
    check_bounds(HERE, np.array([0, 0, 3]), 3)
    with pytest.raises(CheckpointError, match="here: must rise from 0 to 3 rows"):
        check_bounds(HERE, np.array(bounds), 3)


def test_groups_have_a_name() -> None:
    check_codes(HERE, np.array([0, 1], np.int32), 2)
    with pytest.raises(CheckpointError, match="codes must be from 0 to 1; one is not"):
        check_codes(HERE, np.array([0, -1], np.int32), 2)


@pytest.mark.parametrize("point", [0xD800, 0x110000])
def test_ids_are_text(point: int) -> None:
    check_text(HERE, np.array(["a", "ü"]))
    check_text(HERE, np.array([], "<U1"))
    with pytest.raises(CheckpointError, match="here: must hold text"):
        check_text(HERE, np.array([point], np.uint32).view("<U1"))


def test_manifest(build: Build) -> None:
    manifest = build().manifest
    check_manifest(HERE, manifest)
    cut = manifest.shards[:-1]
    for change in ({"shards": cut}, {"n_samples": 21}, {"n_steps": 1}, {"shards": manifest.shards[::-1]}):
        with pytest.raises(CheckpointError, match="here: its shards must divide the samples"):
            check_manifest(HERE, manifest.model_copy(update=change))
    wordless = {**manifest.modalities, "drugs": entry(vocabularies=[])}
    with pytest.raises(CheckpointError, match="'drugs' must have a vocabulary"):
        check_manifest(HERE, manifest.model_copy(update={"modalities": wordless}))


def test_forms(build: Build) -> None:
    manifest = build().manifest
    assert beside_forms(manifest).keys() == manifest.files.keys()
    form = Form("<U", (3,))
    assert form.is_met("<U7", (3,)) and not form.is_met("<U7", (4,)) and not form.is_met("<i8", (3,))
