"""`mmseq prepare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def _stores(work: Any) -> list[Path]:
    return sorted((work.path / ".mmseq" / "stores").iterdir())


def test_stores_once_and_finds_it_again(mmseq: Run, work: Any) -> None:
    outcome = mmseq("prepare", "-c", "toy.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    (store,) = _stores(work)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("80 samples, ") and lines[0].endswith(f" steps in .mmseq/stores/{store.name}")
    names = [line.split(":")[0].strip() for line in lines[1:]]
    assert names == ["vitals", "codes", "ward", "age", "sick", "level", "flags", "stage"]
    made = (store / "manifest.json").stat().st_mtime_ns
    assert mmseq("prepare", "-c", "toy.yaml").out == outcome.out
    assert _stores(work) == [store]
    assert (store / "manifest.json").stat().st_mtime_ns == made


def test_changed_data_are_stored_anew(mmseq: Run, work: Any) -> None:
    mmseq("prepare", "-c", "toy.yaml")
    work.edit("data/samples.csv", "^(p3,.*),.*$", r"\1,99")
    assert mmseq("prepare", "-c", "toy.yaml").code == 0
    assert len(_stores(work)) == 2


def test_what_is_dropped_is_counted(mmseq: Run, work: Any) -> None:
    outcome = mmseq("prepare", "-c", "toy.yaml", "--set", "data.until=50")
    assert outcome.code == 0
    (vitals,) = (line for line in outcome.out.splitlines() if line.startswith("  vitals:"))
    rows = (work.path / "data" / "vitals.csv").read_text().splitlines()[1:]
    n_late = sum(float(row.split(",")[1]) > 50 for row in rows)
    assert f"{len(rows) - n_late:,} rows kept" in vitals
    assert f"{n_late:,}" in vitals.split(";")[1]


def test_altered_store_ends_with_1_and_its_name(mmseq: Run, work: Any) -> None:
    mmseq("prepare", "-c", "toy.yaml")
    (store,) = _stores(work)
    path = store / "ids.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    outcome = mmseq("prepare", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith(f".mmseq/stores/{store.name}/ids.npy: ")


def test_source_in_memory_is_for_python(mmseq: Run, work: Any) -> None:
    work.edit("toy.yaml", "source: .*", "source: {kind: memory}")
    outcome = mmseq("prepare", "-c", "toy.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert "tables are passed from Python where the source is of kind 'memory'; none came" in outcome.err
    assert not (work.path / ".mmseq").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "data.store={toy}",
            "data.store: {toy} must be a folder that can be made; File exists",
        ),
        ("data.memory_limit=lots", "data.memory_limit: "),
    ],
)
def test_settings_that_cannot_be(mmseq: Run, toy: Path, work: Any, override: str, message: str) -> None:
    outcome = mmseq("prepare", "-c", toy, "--set", override.format(toy=toy))
    assert outcome.code == 2
    assert message.format(toy=toy) in outcome.err
    assert "Traceback" not in outcome.err
