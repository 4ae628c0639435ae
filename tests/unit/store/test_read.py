"""An open store: what it tells, what it gathers, and that no altered byte goes unseen."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmseq.errors import CheckpointError
from mmseq.store import Store

Build = Callable[..., Store]


def read_all(path: Path) -> None:
    Store.open(path).gather(np.arange(20))


def copies(store: Store, folder: Path) -> list[Path]:
    """For each file of the store, a whole copy of the store, and the file in it."""
    files = sorted(path.relative_to(store.path) for path in store.path.rglob("*") if path.is_file())
    for i in range(len(files)):
        shutil.copytree(store.path, folder / f"copy{i}")
    return [folder / f"copy{i}" / file for i, file in enumerate(files)]


def root_of(file: Path) -> Path:
    return file.parent if (file.parent / "manifest.json").exists() else file.parent.parent


def test_flipped_bits(build: Build, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = copies(build(), tmp_path)
    assert len(files) > 25
    for file in files:
        content = bytearray(file.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        file.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_all(root_of(file))
        assert file.name in str(caught.value) or file.name == "manifest.sha256"
        assert "delete the store and prepare again" in str(caught.value)


def test_truncated_and_missing_files(build: Build, tmp_path: Path) -> None:
    for file in copies(build(), tmp_path):
        root, content = root_of(file), file.read_bytes()
        file.write_bytes(content[:-1])
        with pytest.raises(CheckpointError):
            Store.open(root)  # seen at once: sizes are checked when a store is opened
        file.unlink()
        with pytest.raises(CheckpointError, match=file.name):
            Store.open(root)


def test_other_schema(build: Build) -> None:
    store = build()
    manifest = store.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema_version": 4', '"schema_version": 99'))
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    (store.path / "manifest.sha256").write_text(f"{digest}  manifest.json\n")
    with pytest.raises(CheckpointError, match="a store of schema 4 can be read; 99 came"):
        Store.open(store.path)


def test_facts(build: Build) -> None:
    store = build()
    assert len(store) == 20
    assert store.ids.tolist() == [f"p{i}" for i in range(20)]
    assert store.groups.tolist() == [0, 1, 2, 0] * 5
    assert store.group_names == ["f", "g", "h"]
    assert store.splits.tolist() == ["train", "validation", "test", "train"] * 5
    assert store.tasks == ["y"]
    assert store.columns("labs") == ("a", "b", "c")
    assert store.columns("drugs") == ("drug",)
    assert store.vocabularies("drugs") == (tuple(f"d{i}" for i in range(7)),)
    assert store.vocabularies("vitals") == ()
    assert store.vocabularies("y") == (("no", "yes"),)
    assert store.vocabularies("y") is store.vocabularies("y")  # asked for at every batch
    assert store.columns("labs") is store.columns("labs")
    assert store.origins is None
    assert store.lengths.dtype == np.int64
    assert store.n_events("vitals").sum() == 100


def test_gather_any_samples(build: Build) -> None:
    store = build()
    assert len(store.manifest.shards) > 2
    rng = np.random.default_rng(1)
    alone = [store.gather(np.array([i])) for i in range(20)]
    for picked in [rng.integers(0, 20, n) for n in (0, 1, 2, 7, 64)] + [np.arange(20)[::-1]]:
        batch = store.gather(picked)
        assert batch.starts.tolist() == [0, *np.cumsum(store.lengths[picked]).tolist()]
        np.testing.assert_array_equal(
            batch.time, np.concatenate([np.empty(0), *(alone[i].time for i in picked)])
        )
        for name in store.modalities + store.tasks:
            rows, each = (
                (batch.events | batch.targets)[name],
                [(alone[i].events | alone[i].targets)[name] for i in picked],
            )
            offset = np.arange(len(picked)) if name == "ward" else batch.starts[:-1]
            want = [row.step + offset[i] for i, row in enumerate(each)]
            np.testing.assert_array_equal(rows.step, np.concatenate([np.empty(0, np.int64), *want]))
            for part, array in rows.arrays.items():
                parts = [row.arrays[part] for row in each]
                np.testing.assert_array_equal(array, np.concatenate([array[:0], *parts]))
                assert array.dtype == (np.float32 if part == "values" else np.int32)
            assert rows.step.dtype == rows.starts.dtype == np.int64


def test_gather_some_of_it(build: Build) -> None:
    some = build().gather(np.array([1]), modalities=["drugs"], tasks=[])
    assert (list(some.events), list(some.targets)) == (["drugs"], [])


def test_chunks_are_the_rows_in_order(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    store, samples = build(), np.array([7, 3, 19, 0, 4, 5])
    want = store.gather(np.sort(samples)).events["vitals"].arrays["values"]
    for rows in (1, 4, 1_000_000):
        monkeypatch.setattr("mmseq.store.read.CHUNK_ROWS", rows)
        chunks = [chunk["values"] for chunk in store.chunks("vitals", samples)]
        np.testing.assert_array_equal(np.concatenate(chunks), want)
        assert len(chunks) > 1 or rows > 4
    assert list(store.chunks("vitals", np.array([], np.int64))) == []


def test_a_huge_sample_is_cut_whatever_its_neighbours(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    store = build()
    counts = store.n_events("vitals")
    limit = int(np.sort(counts)[-3])  # two or fewer samples have more
    assert (counts > limit).any()
    monkeypatch.setattr("mmseq.store.read.CHUNK_ROWS", limit)
    chunks = [len(chunk["values"]) for chunk in store.chunks("vitals", np.arange(20))]
    assert sum(chunks) == counts.sum() and max(chunks) <= 2 * limit
    assert chunks.count(limit) >= (counts > limit).sum()


def test_pickled_and_read_only(build: Build) -> None:
    store = build()
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.gather(np.arange(20)).time, store.gather(np.arange(20)).time)
    for array in store.shard(0).values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_files_are_plain_npy(build: Build) -> None:
    store = build()
    for i, shard in enumerate(store.manifest.shards):
        for name in shard.files:
            array = np.load(store.path / f"shard-{i:05d}" / name)
            np.testing.assert_array_equal(array, store.shard(i)[name])
            assert array.flags.c_contiguous
