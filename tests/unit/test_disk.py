"""Digests of bytes and of files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mmseq.disk import (
    digest,
    digest_file,
    make_folder,
    naming,
    open_plain,
    plain_size,
    replacing,
    write_file,
    writing,
)
from mmseq.errors import CheckpointError

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


def test_bytes_and_files_have_one_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert digest(b"abc") == digest_file(tmp_path / "abc") == ABC


def test_what_the_disk_refuses_is_told(tmp_path: Path) -> None:
    full = r"x: needs room on the disk; it is full \(No space left on device\); make room"
    with pytest.raises(CheckpointError, match=full), writing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    other = "x: must be writable; Is a directory; mend that"
    with pytest.raises(CheckpointError, match=other), writing(tmp_path / "x"):
        write_file(tmp_path, b"")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """Caught: a file that is written in place; a part of one left beside it."""
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as aside:
        aside.write_text("ne")
        raise ZeroDivisionError
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    with replacing(path) as aside:
        aside.write_text("new")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_errors_of_open_files_get_their_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, naming(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "x")


def test_folders_are_made_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("mmseq.disk.sync", synced.append)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path / "a", tmp_path]


def test_plain_files_alone_have_a_size(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    sizes = {
        name: plain_size(tmp_path / name) for name in ("file", "link", "pipe", "none", ".", "a\0b", "x" * 999)
    }
    assert {name for name, size in sizes.items() if size is not None} == {"file"}
    assert sizes["file"] == 3
    with open_plain(tmp_path / "file") as file:
        assert file.read() == b"123"
    with pytest.raises(OSError):
        open_plain(tmp_path / "link")
