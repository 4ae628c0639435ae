"""No flipped bit, cut, exchanged or missing file of a checkpoint, bundle or store is read as good.

Whatever is damaged is refused by an error for users that names the file.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from small import OLD, checkpoint, make_experiment, make_model

import mmseq.store.map
from mmseq.cli.main import main
from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.errors import CheckpointError, MmseqError
from mmseq.model import Model
from mmseq.store import Store
from mmseq.training.checkpoint import read_checkpoint, save_checkpoint

KINDS = ("checkpoint", "bundle", "store")


def read_store(path: Path) -> str:
    """Opens it and gathers all there is, as a process does that has not read it before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmseq.store.read._verified", set())
        store = Store.open(path)
        found = store.gather(np.arange(len(store)))
    rows = {**found.events, **found.targets}
    arrays = [(name, part, a.tolist()) for name, own in rows.items() for part, a in own.arrays.items()]
    return repr((store.ids.tolist(), store.manifest, found.starts.tolist(), found.time.tolist(), arrays))


READERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": read_checkpoint,
    "bundle": Model.load,
    "store": read_store,
}


@dataclass(frozen=True)
class Kept:
    """Something on disk, and another of its kind."""

    path: Path
    other: Path
    kind: str

    def files(self) -> list[Path]:
        found = sorted(path for path in self.path.rglob("*") if path.is_file())
        assert len(found) > 3
        return found

    def refuse(self, file: Path, *, also: str = "") -> None:
        """Reading must fail with an error for users that names this file, or the other one."""
        try:
            READERS[self.kind](self.path)
        except MmseqError as error:
            assert error.exit_code == 1
            assert isinstance(error, CheckpointError)
            assert str(file) in str(error) or (also and also in str(error)), f"{file}: {error}"
        else:
            pytest.fail(f"{file}: read as good")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> list[Experiment]:
    """Two, on tables of the same shape."""
    return [make_experiment(tmp_path_factory.mktemp("tables"), value, n_shards=3) for value in (1.0, 2.0)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, experiments: list[Experiment]) -> dict[str, Kept]:
    root = tmp_path_factory.mktemp("kept")
    stores = [prepare(experiment).path for experiment in experiments]
    for value, experiment in zip((1.0, 2.0), experiments, strict=True):
        save_checkpoint(root / f"checkpoint-{value}", checkpoint(value))
        make_model(experiment, value).save(root / f"bundle-{value}")
    found = {kind: Kept(root / f"{kind}-1.0", root / f"{kind}-2.0", kind) for kind in KINDS[:2]}
    return found | {"store": Kept(stores[0], stores[1], "store")}


@contextmanager
def restored(*files: Path) -> Iterator[None]:
    """Files are whole again afterwards."""
    contents = {file: file.read_bytes() for file in files}
    try:
        yield
    finally:
        for file, content in contents.items():
            file.write_bytes(content)


def damaged(kept: dict[str, Kept], n: int, seed: int) -> Iterator[tuple[Kept, Path, np.random.Generator]]:
    """Files in turn, those of the three kinds alike; each is whole again afterwards."""
    random = np.random.default_rng(seed)
    turns = {kind: itertools.cycle(kept[kind].files()) for kind in KINDS}
    for i in range(n):
        one = kept[KINDS[i % 3]]
        file = next(turns[one.kind])
        with restored(file):
            yield one, file, random


FLIPS = [pytest.param(240, id="240"), pytest.param(2_000, marks=pytest.mark.slow, id="2000")]
CUTS = [pytest.param(120, id="120"), pytest.param(500, marks=pytest.mark.slow, id="500")]


@pytest.mark.parametrize("n", FLIPS)
def test_flipped_bits(kept: dict[str, Kept], n: int) -> None:
    """One bit of one file, all files in turn, manifests among them.

    caught: a manifest without a digest of its own (flips in its digests were told of other files); a digest
    that is not compared; contents trusted since another store of the name was read.
    """
    flips = 0
    for one, file, random in damaged(kept, n, seed=n):
        flipped = bytearray(file.read_bytes())
        flipped[random.integers(len(flipped))] ^= 1 << int(random.integers(8))
        file.write_bytes(flipped)
        one.refuse(file)
        flips += 1
    assert flips == n


@pytest.mark.parametrize("n", CUTS)
def test_cut_files(kept: dict[str, Kept], n: int) -> None:
    """A file's beginning alone, of any length.

    caught: a manifest that may lack its last byte; safetensors' own error for cut headers.
    """
    cuts = 0
    for one, file, random in damaged(kept, n, seed=n + 1):
        content = file.read_bytes()
        file.write_bytes(content[: random.integers(len(content))])
        one.refuse(file)
        cuts += 1
    assert cuts == n


@pytest.mark.parametrize("kind", KINDS)
def test_missing_files(kept: dict[str, Kept], kind: str) -> None:
    """Each file in turn. caught: a file of the manifest that is skipped where it is not there."""
    one = kept[kind]
    for file in one.files():
        with restored(file):
            file.unlink()
            one.refuse(file, also=f"needs a {file.name}")


@pytest.mark.parametrize("kind", KINDS)
def test_exchanged_files(kept: dict[str, Kept], kind: str) -> None:
    """Any two files of a folder that differ. caught: a manifest of contents without their names."""
    one, exchanged = kept[kind], 0
    for a, b in itertools.combinations(one.files(), 2):
        of_a, of_b = a.read_bytes(), b.read_bytes()
        if of_a == of_b:
            continue
        with restored(a, b):
            a.write_bytes(of_b)
            b.write_bytes(of_a)
            one.refuse(a, also=str(b))
        exchanged += 1
    assert exchanged > 3


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_another(kept: dict[str, Kept], kind: str) -> None:
    """Each file that another folder of the kind has otherwise, in its place: weights, shards, manifests.

    caught: sizes compared alone.
    """
    one, put = kept[kind], 0
    for file in one.files():
        theirs = one.other / file.relative_to(one.path)
        if theirs.read_bytes() == file.read_bytes():
            continue
        with restored(file):
            shutil.copy(theirs, file)
            # A whole manifest of another folder does not fit the files: the first of them is named.
            one.refuse(file, also=str(one.path) if file.name.startswith("manifest") else "")
        put += 1
    assert put >= 3


def test_shard_of_another_store(kept: dict[str, Kept]) -> None:
    """A whole shard, of the same sizes. caught: shards whose digests are not compared."""
    one = kept["store"]
    read_store(one.path)
    shard = one.path / "shard-00001"
    shard.rename(one.path.parent / "mine")
    shutil.copytree(one.other / "shard-00001", shard)
    try:
        one.refuse(shard / "rows.v.values.npy")
    finally:
        shutil.rmtree(shard)
        (one.path.parent / "mine").rename(shard)
    read_store(one.path)


def test_whole_store_of_other_data(kept: dict[str, Kept], experiments: list[Experiment]) -> None:
    """Whole in itself, but not what the data say. caught: a store that is taken by its folder's name."""
    one = kept["store"]
    one.path.rename(one.path.parent / "mine")
    shutil.copytree(one.other, one.path)
    try:
        with pytest.raises(CheckpointError, match=f"{one.path}: must be the store that it is named after"):
            prepare(experiments[0])
    finally:
        shutil.rmtree(one.path)
        (one.path.parent / "mine").rename(one.path)
    assert len(prepare(experiments[0])) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_more_files(kept: dict[str, Kept], kind: str) -> None:
    """One that no manifest lists: refused by name; a store is not made of it, and leaves it alone.

    Caught: files read by the manifest alone.
    """
    one = kept[kind]
    before = read_store(one.path) if kind == "store" else ""
    extra = one.path / "weights.pkl"
    extra.write_bytes(b"x")
    try:
        if kind == "store":
            assert read_store(one.path) == before
        else:
            one.refuse(extra)
    finally:
        extra.unlink()


def test_shards_are_read_through_once(kept: dict[str, Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening reads no shard, and a process checks each once: when it is first used.

    caught: shards checked when a store is opened, or again whenever it is.
    """
    path = kept["store"].path
    seen: list[int] = []
    monkeypatch.setattr("mmseq.store.read._verified", set())
    digest = mmseq.store.map.digest

    def counting(content: bytes) -> str:
        seen.append(len(content))
        return digest(content)

    monkeypatch.setattr("mmseq.store.map.digest", counting)
    store = Store.open(path)
    assert len(seen) == len(store.manifest.files)
    seen.clear()
    store.gather(np.array([0]))
    assert len(seen) == len(store.manifest.shards[0].files)
    seen.clear()
    store.gather(np.array([0, 1]))
    Store.open(path).gather(np.array([0]))
    assert len(seen) == len(store.manifest.files)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_command_line(
    kept: dict[str, Kept], experiments: list[Experiment], damage: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Exit code 1 and one line that names the file. caught: an error that is no MmseqError."""
    folder = tmp_path / "model"
    data = experiments[0].data.source.root
    command = ["predict", str(folder), "--input", str(data), "--output", str(tmp_path / "out.csv")]
    shutil.copytree(kept["bundle"].path, folder)
    assert main(command) == 0
    for name in ("weights.safetensors", "config.json", "facts.json", "manifest.json"):
        if (damage, name) == ("missing", "facts.json"):
            continue  # then it is taken for the folder of a run
        content = (folder / name).read_bytes()
        if damage == "missing":
            (folder / name).unlink()
        elif damage == "cut":
            (folder / name).write_bytes(content[: len(content) // 2])
        else:
            (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        capsys.readouterr()
        assert main(command) == 1
        said = capsys.readouterr()
        assert name in said.err and said.err.count("\n") == 1 and not said.out
        (folder / name).write_bytes(content)


def test_weights_are_as_they_were(kept: dict[str, Kept]) -> None:
    """The undamaged ones are read: all tests above would pass on a reader that refuses everything.

    Caught: every file of weights refused.
    """
    weights = Model.load(kept["bundle"].path).state_dict().values()
    assert all(torch.equal(value, torch.full_like(value, OLD)) for value in weights)
    assert read_checkpoint(kept["checkpoint"].path).progress.step == 1
    assert read_store(kept["store"].path) != read_store(kept["store"].other)
