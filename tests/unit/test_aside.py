"""Folders beside their place: ours while we live, swept away once nobody holds their lock."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from mmseq.aside import LOCK, PARTIAL, aside, discard, sweep
from mmseq.errors import CheckpointError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_gone_afterwards_unless_renamed(tmp_path: Path) -> None:
    with aside(tmp_path / "one") as root:
        (root / "half").touch()
        assert root.parent == tmp_path and root.name.startswith(PARTIAL)
    assert names(tmp_path) == []
    with aside(tmp_path / "one") as root:
        root.rename(tmp_path / "one")
    assert names(tmp_path) == ["one"]


def test_gone_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), aside(tmp_path / "one"):
        raise KeyError
    assert names(tmp_path) == []


def _hold(folder: Path, ready: object) -> None:
    with aside(folder / "theirs") as root:
        (root / "half").touch()
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_swept_once_its_process_is_dead(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(30)
    before = names(tmp_path)
    sweep(tmp_path)
    assert names(tmp_path) == before and len(before) == 2
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_a_lock_that_is_swept_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening a lock and holding it, another process may find it free."""
    import fcntl

    flock, swept = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not swept:
            swept.append(1)
            monkeypatch.setattr(fcntl, "flock", flock)
            sweep(tmp_path)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with aside(tmp_path / "one") as root:
        assert swept
        sweep(tmp_path)
        assert root.is_dir()


def test_sweep_leaves_everything_else(tmp_path: Path) -> None:
    for name in ("one", ".two.partial", f"{PARTIAL}0", f"{LOCK}1"):
        (tmp_path / name).mkdir() if name != f"{LOCK}1" else (tmp_path / name).touch()
    sweep(tmp_path)
    assert names(tmp_path) == [".two.partial", "one"]
    sweep(tmp_path / "none")


def test_discard(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "file").touch()
    discard(tmp_path / "one")
    discard(tmp_path / "one")
    assert names(tmp_path) == []


def test_a_place_that_cannot_be_is_told(tmp_path: Path) -> None:
    told = f"{tmp_path}/none/one: must be writable; No such file"
    with pytest.raises(CheckpointError, match=told), aside(tmp_path / "none" / "one"):
        pass
