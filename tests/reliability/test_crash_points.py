"""Wherever writing ends, the old or the new one is there complete; a full disk is told.

Each trial is a process that ends, or finds the disk full, at the n-th call that changes the disk, for every n
until the operation passes untouched.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest
from faults import CRASHED, DONE, TOLD, Disk, Fault, trial
from small import NEW, OLD, ONE_MODALITY, checkpoint, fill, make_experiment, make_model

from mmseq.config.experiment import Experiment
from mmseq.data import prepare
from mmseq.disk import digest
from mmseq.model import Model
from mmseq.store import Store
from mmseq.training.checkpoint import Progress, save_checkpoint
from mmseq.training.checkpoints import Checkpoints, step_name

FAULTS: list[Fault] = ["crash", "torn", "lost", "full", "full once"]


@dataclass(frozen=True)
class Operation:
    """Something that writes.

    Attributes:
        act: writes what a number tells below a folder.
        read: reads it back, as text that tells it apart; raises where it is not whole.
        place: the folder that is written for a number, below the folder.
    """

    act: Callable[[Path, float], None]
    read: Callable[[Path, float], str]
    place: Callable[[Path, float], Path]


def save(folder: Path, value: float) -> None:
    """Writes a checkpoint of one step; another number is another content."""
    save_checkpoint(folder / step_name(1), replace(checkpoint(value), progress=Progress(step=1, loss=value)))


def read_back(folder: Path) -> str:
    """The checkpoint that training would go on from."""
    found = Checkpoints(folder, "", 2, "").latest()
    tensors = {"weights": found.weights, "moments": found.moments, **found.carried}
    numbers = [(part, sorted((name, t.tolist()) for name, t in own.items())) for part, own in tensors.items()]
    return repr((numbers, found.progress, found.facts))


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Experiment]:
    """By a number, an experiment on tables that hold it."""
    folders = {value: tmp_path_factory.mktemp("tables") for value in (OLD, NEW)}
    return {value: make_experiment(folder, value, 1, ONE_MODALITY) for value, folder in folders.items()}


def stores_in(experiment: Experiment, folder: Path) -> Experiment:
    data = experiment.data.model_copy(update={"store": folder / "stores"})
    return experiment.model_copy(update={"data": data})


def read_store(path: Path) -> str:
    store = Store.open(path)
    for i in range(len(store.manifest.shards)):
        store.shard(i)
    files = sorted(path for path in store.path.rglob("*") if path.is_file())
    return repr([(str(path.relative_to(store.path)), digest(path.read_bytes())) for path in files])


@pytest.fixture(scope="module")
def model(experiments: dict[float, Experiment]) -> Model:
    return make_model(experiments[OLD], OLD)


@pytest.fixture(params=["checkpoint", "model", "store"])
def operation(
    request: pytest.FixtureRequest, model: Model, experiments: dict[float, Experiment]
) -> Operation:
    if request.param == "checkpoint":
        return Operation(
            lambda folder, value: save(folder / "c", value),
            lambda folder, _: read_back(folder / "c"),
            lambda folder, _: folder / "c" / step_name(1),
        )
    if request.param == "model":
        return Operation(
            lambda folder, value: fill(model, value).save(folder / "m" / "model"),
            lambda folder, _: Model.load(folder / "m" / "model").digest(),
            lambda folder, _: folder / "m" / "model",
        )
    places = {value: prepare(experiment).path.name for value, experiment in experiments.items()}
    return Operation(
        lambda folder, value: build_store(experiments[value], folder),
        lambda folder, value: read_store(folder / "stores" / places[value]),
        lambda folder, value: folder / "stores" / places[value],
    )


def build_store(experiment: Experiment, folder: Path) -> None:
    prepare(stores_in(experiment, folder))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@dataclass
class Points:
    """An operation in a folder where the old one is, or nothing, and what is true after each trial."""

    operation: Operation
    folder: Path
    is_first: bool

    def __post_init__(self) -> None:
        self.start, self.end = self.folder / "start", self.folder / "end"
        for folder in (self.start, self.end):
            folder.mkdir(parents=True)
            if not self.is_first:
                self.operation.act(folder, OLD)
        self.old = "" if self.is_first else self.operation.read(self.end, OLD)
        self.operation.act(self.end, NEW)
        self.new = self.operation.read(self.end, NEW)
        assert self.new != self.old

    def at(self, n: int | None, fault: Fault = "crash") -> tuple[Path, int, str]:
        """One trial: its folder, how it ended, and what it said."""
        place = self.folder / "trial"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.start, place)

        def act() -> None:
            with Disk(self.operation.place(place, NEW).parent, n, fault):
                self.operation.act(place, NEW)

        outcome = trial(act)
        return place, outcome.code, outcome.message

    @cached_property
    def trace(self) -> list[tuple[str, ...]]:
        """The calls of the operation, untouched."""
        place = self.folder / "traced"
        shutil.copytree(self.start, place)
        with Disk(self.operation.place(place, NEW).parent) as disk:
            self.operation.act(place, NEW)
        return disk.trace

    def calls(self, fault: Fault) -> list[int]:
        """Every call that a fault can hit; half of anything but a write would be a crash again."""
        return [n for n, (call, *_) in enumerate(self.trace) if fault != "torn" or call == "write"]

    def check(self, place: Path, code: int, message: str) -> None:
        """The old or the new one is whole, and the next attempt leaves it alone there."""
        assert code in (DONE, CRASHED, TOLD), message
        if code == TOLD:
            assert "No space left on device" in message and str(place) in message, message
            assert ".mmseq-" not in message  # it names what was to be written
        found = self._found(place)
        assert found == self.new or (code != DONE and found == self.old)
        if self.old and self.operation.place(place, OLD) != self.operation.place(place, NEW):
            assert self.operation.read(place, OLD) == self.old
        self.operation.act(place, NEW)
        assert self.operation.read(place, NEW) == self.new
        parent = self.operation.place(place, NEW).parent
        assert names(parent) == names(self.operation.place(self.end, NEW).parent)

    def _found(self, place: Path) -> str:
        """What is read: where there was nothing, nothing may be there; half of it never."""
        folder = self.operation.place(place, NEW)
        beside = not self.old or self.operation.place(place, OLD) != folder
        if beside and not folder.exists():
            return self.old
        return self.operation.read(place, NEW)


@pytest.fixture(params=[True, False], ids=["first", "over another"])
def points(request: pytest.FixtureRequest, operation: Operation, tmp_path: Path) -> Points:
    return Points(operation, tmp_path, request.param)


def sweep(points: Points, fault: Fault, stride: int) -> int:
    """Trials at every call of the operation, or so many apart, and one that passes; returns how many."""
    every = [*points.calls(fault)[::stride], None]
    for n in every:
        place, code, message = points.at(n, fault)
        assert n is not None or code == DONE, message
        assert code == CRASHED or n is None or "full" in fault
        points.check(place, code, message)
    return len(every)


@pytest.mark.parametrize("fault", ["lost", "full"])
def test_some_points(points: Points, fault: Fault) -> None:
    """See `test_every_point`.

    Caught: no fsync of a file; a full disk told by its OSError.
    """
    assert sweep(points, fault, len(points.trace) // 4) > 4


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_every_point(points: Points, fault: Fault) -> None:
    """The old or the new one, never neither, and nothing is left by the next attempt.

    caught: files written in place; the old folder removed before the new one is renamed; no fsync of a
    file (`lost`); what a dead process left that is never swept; a full disk told by a traceback; a
    checkpoint amid its replacement that is not gone on from.
    """
    assert sweep(points, fault, 1) > (4 if fault == "torn" else 20)


def test_order_on_disk(points: Points) -> None:
    """Files are on disk before their folder gets its name, the name before anything old is removed.

    caught: no fsync of a file, of the new folder, or of the one above it; the old one removed before that.
    """
    calls = points.trace
    final = points.operation.place(points.folder / "traced", NEW).name
    renames = [i for i, call in enumerate(calls) if call[0] == "rename" and call[2] == final]
    assert len(renames) == 1
    (at,) = renames
    root = calls[at][1]
    synced: set[str] = set()
    written = set()
    for call, path, *_ in calls[:at]:
        if call in ("write", "create", "mkdir"):
            synced.discard(path)
            synced.discard(str(Path(path).parent))
            written.add(path)
        elif call == "fsync":
            synced.add(path)
        elif call == "unlink":
            written.discard(path)
    inside = {path for path in written if path == root or path.startswith(f"{root}/")}
    assert len(inside) > 3 and inside <= synced, sorted(inside - synced)
    after = calls[at + 1 :]
    up = after.index(("fsync", "."))
    assert not [call for call in after[:up] if call[0] in ("unlink", "rmdir", "rename")]


def taken(folder: Path) -> int:
    """Bytes of the disk that a folder takes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def fill_disk(place: Path, left: int) -> Path:
    """Fills a file system but for so many bytes."""
    filler = place / "filler"
    free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    filler.write_bytes(b"\1" * max(0, free - left))
    return filler


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, where such can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    may = os.getuid() == 0 and shutil.which("mount") is not None
    if not may or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root, and a system that allows it")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("share", [0, 0.4, 0.8])
def test_full_file_system(operation: Operation, small_disk: Path, share: float) -> None:
    """A disk that is really full: told, the old one intact; with room again, the new one is written.

    caught: the system's errors let through.
    """
    operation.act(small_disk, OLD)
    old = operation.read(small_disk, OLD)
    filler = fill_disk(small_disk, int(share * taken(operation.place(small_disk, OLD))))
    outcome = trial(lambda: operation.act(small_disk, NEW))
    assert outcome.code == TOLD and "No space left on device" in outcome.message, outcome
    filler.unlink()
    assert operation.read(small_disk, OLD) == old
    operation.act(small_disk, NEW)
    assert operation.read(small_disk, NEW) != old


@pytest.mark.parametrize("limit", [0, 100, 3_000])
def test_files_that_may_not_grow(operation: Operation, tmp_path: Path, limit: int) -> None:
    """The system's own limit on a file's size is told as a full disk is.

    caught: writes whose OSError is not turned into an error for users.
    """
    place = operation.place(tmp_path, NEW)

    def act() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        operation.act(tmp_path, NEW)

    outcome = trial(act)
    if outcome.code != DONE:
        assert outcome.code == TOLD and "File too large" in outcome.message, outcome
        assert not place.exists() and names(place.parent) == set()
    assert limit > 100 or outcome.code == TOLD
