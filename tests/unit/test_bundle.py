"""Bundles notice every flipped bit, cut, missing, added or stray file, and replace as a whole."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmseq.aside import aside
from mmseq.bundle import MANIFEST, dump_json, parse_json, read_folder, write_folder
from mmseq.disk import digest
from mmseq.errors import CheckpointError

SCHEMA = "test 1"
FILES = {"a.bin": bytes(range(60)), "b.json": b'{"x": 1}\n', "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "bundle", FILES, SCHEMA)
    return tmp_path / "bundle"


def refuse(folder: Path, *parts: str) -> str:
    """The message that reading fails with; it names these."""
    with pytest.raises(CheckpointError) as caught:
        read_folder(folder, SCHEMA)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    return message


def test_there_and_back(folder: Path) -> None:
    assert read_folder(folder, SCHEMA) == FILES
    assert {path.name for path in folder.parent.iterdir()} == {"bundle"}


@pytest.mark.parametrize("name", ["a.bin", "b.json"])
def test_every_flipped_bit_is_noticed(name: str, folder: Path) -> None:
    content = FILES[name]
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            (folder / name).write_bytes(flipped)
            refuse(folder, str(folder / name), "copy it again")


def test_a_flipped_bit_of_any_byte_of_the_manifest_is_noticed(folder: Path) -> None:
    content = (folder / MANIFEST).read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (folder / MANIFEST).write_bytes(flipped)
        refuse(folder, str(folder / MANIFEST))


def test_every_cut_is_noticed(folder: Path) -> None:
    for name in ("a.bin", "b.json", MANIFEST):
        content = (folder / name).read_bytes()
        for size in range(len(content)):
            (folder / name).write_bytes(content[:size])
            refuse(folder, name)
        (folder / name).write_bytes(content)


def test_longer_file(folder: Path) -> None:
    (folder / "empty").write_bytes(b"\0")
    refuse(folder, str(folder / "empty"), "needs 0 bytes; has 1")


@pytest.mark.parametrize("name", ["a.bin", "empty"])
def test_missing_file(name: str, folder: Path) -> None:
    (folder / name).unlink()
    refuse(folder, str(folder / name), "missing", "copy the whole folder")


def test_folder_in_place_of_a_file(folder: Path) -> None:
    (folder / "a.bin").unlink()
    (folder / "a.bin").mkdir()
    refuse(folder, str(folder / "a.bin"), "no plain file")


def test_link_in_place_of_a_file(folder: Path) -> None:
    """No file outside the folder is read, though it has the right contents."""
    (folder / "a.bin").rename(folder.parent / "a.bin")
    (folder / "a.bin").symlink_to(folder.parent / "a.bin")
    refuse(folder, str(folder / "a.bin"), "no plain file")


def test_missing_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    refuse(folder, f"needs a {MANIFEST}", "not a complete test 1 folder")


def test_no_folder(tmp_path: Path) -> None:
    refuse(tmp_path / "none", f"needs a {MANIFEST}")


def test_unknown_file(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"x")
    refuse(folder, str(folder / "extra.pkl"), "does not list it")


def test_other_schema(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="needs schema 'test 2'; found 'test 1'"):
        read_folder(folder, "test 2")


@pytest.mark.parametrize("name", ["..", "../bundle/a.bin", "/etc/passwd", "", ".", "sub/a", MANIFEST])
def test_names_that_lead_elsewhere(name: str, folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    manifest["files"][name] = manifest["files"]["a.bin"]
    seal(folder, manifest)
    refuse(folder, MANIFEST, repr(name), "plain file names only")


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Writes a manifest that agrees with itself."""
    manifest.pop("sha256", None)
    manifest["sha256"] = digest(dump_json(manifest))
    (folder / MANIFEST).write_bytes(dump_json(manifest))


@pytest.mark.parametrize("how", ["digest", "no digest", "spaces", "another key", "key twice"])
def test_manifest_is_checked_by_its_own_digest(how: str, folder: Path) -> None:
    """Whatever is not as it was written is refused, though it would be read as the same."""
    path = folder / MANIFEST
    manifest, content = json.loads(path.read_bytes()), path.read_bytes()
    if how == "digest":
        content = content.replace(manifest["sha256"].encode(), b"0" * 64)
    elif how == "no digest":
        content = dump_json({"schema": manifest["schema"], "files": manifest["files"]})
    elif how == "spaces":
        content = json.dumps(manifest).encode()
    elif how == "another key":
        content = dump_json({**manifest, "more": 1})
    else:
        content = content.replace(b'{\n "schema"', b'{\n "schema": "x",\n "schema"')
    path.write_bytes(content)
    refuse(folder, str(path), "altered: copy it again")


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"schema": "test 1"}',
        b'{"schema": "test 1", "files": 3}',
        b'{"schema": "test 1", "files": {"a.bin": 3}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_manifest_that_is_none(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    refuse(folder, str(folder / MANIFEST), "altered")


def test_manifest_entry_that_lacks_a_digest(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    del manifest["files"]["a.bin"]["sha256"]
    (folder / MANIFEST).write_bytes(dump_json(manifest))
    refuse(folder, "needs bytes and sha256 of every file")


def test_json_has_no_nan() -> None:
    assert json.loads(dump_json({"ü": [1.5, None]})) == {"ü": [1.5, None]}
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            dump_json({"x": value})


def test_replaces_as_a_whole(folder: Path) -> None:
    write_folder(folder, {"new": b"1"}, SCHEMA)
    assert read_folder(folder, SCHEMA) == {"new": b"1"}
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_failed_write_leaves_the_old_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=f"{folder / 'new'}: needs room .*No space left on device"):
        write_folder(folder, {"new": b"1"}, SCHEMA)
    assert read_folder(folder, SCHEMA) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


class Killed(BaseException):
    """Stands in for the end of the process."""


@pytest.mark.parametrize("survived", [0, 1])
@pytest.mark.parametrize("then", ["read", "write"])
def test_kill_at_either_rename_leaves_a_folder(
    survived: int, then: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, left = Path.rename, survived

    def dying(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "rename", dying)
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process tidies nothing
        write_folder(folder, {"new": b"1"}, SCHEMA)
    if then == "write":
        write_folder(folder, {"newer": b"2"}, SCHEMA)
        assert read_folder(folder, SCHEMA) == {"newer": b"2"}
        assert [path.name for path in folder.parent.iterdir()] == ["bundle"]
    else:
        assert read_folder(folder, SCHEMA) == FILES


def test_what_kills_left_goes_with_the_next_write(folder: Path) -> None:
    """Half-written folders of any name, and an old one that was replaced; what somebody writes stays."""
    parent = folder.parent
    (parent / ".mmseq-partial.0123").mkdir()
    (parent / ".mmseq-partial.0123" / "half").write_bytes(b"x")
    (parent / ".mmseq-lock.4567").touch()
    shutil.copytree(folder, parent / ".mmseq-old.bundle")
    with aside(parent / "another") as root:
        (root / "half").write_bytes(b"y")
        write_folder(parent / "third", {"new": b"1"}, SCHEMA)
        assert (root / "half").read_bytes() == b"y"
        assert len(list(parent.iterdir())) == 4  # the two bundles, and the other's folder and lock
    assert {path.name for path in parent.iterdir()} == {"bundle", "third"}


def test_full_disk_at_the_rename_leaves_the_old_one_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if target == folder and "partial" in path.name:
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(CheckpointError, match="needs room on the disk"):
        write_folder(folder, {"new": b"1"}, SCHEMA)
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"NaN", "NaN is no finite number"),
        (b"[1e999]", "1e999 is no finite number"),
        (b"-Infinity", "no finite number"),
        (b'{"a": 1, "a": 1}', "a key stands twice"),
        (b"[" * 100_000, "recursion"),
        (b"9" * 5_000, "4300 digits"),
        (b'"\\ud800"', "surrogates"),
        (b"\xff\xfe", "utf-8"),
        (b'{"a": 1', "delimiter"),
    ],
)
def test_json_that_is_not_strict(content: bytes, why: str) -> None:
    with pytest.raises(CheckpointError, match=f"^facts: needs strict JSON; .*{why}.*; it was altered"):
        parse_json(content, "facts")


def test_json_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmseq.bundle.MAX_JSON", 4)
    assert parse_json(b"[12]", "x") == [12]
    with pytest.raises(CheckpointError, match="5 bytes are more than 4"):
        parse_json(b"[123]", "x")


@pytest.mark.parametrize("what", ["file", "folder", "other kind"])
def test_replaces_nothing_but_its_own_kind(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("mine")
    elif what == "folder":
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    else:
        write_folder(place, {"a": b"mine"}, "another kind")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match="something else is there; name another place"):
        write_folder(place, {"a": b"new"}, "a kind")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
