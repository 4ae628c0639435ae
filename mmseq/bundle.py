"""Folders of files that are complete or not there, and that notice a flipped bit.

Every file's size and sha256 stand in `manifest.json`. A folder is written beside its place, flushed to
disk, and renamed. Nothing in it is ever unpickled or imported.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseq.disk import digest, sync
from mmseq.errors import CheckpointError

MANIFEST = "manifest.json"


def dump_json(value: Any) -> bytes:
    """Strict JSON (no NaN), readable."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def write_folder(folder: Path, files: Mapping[str, bytes], schema: str) -> None:
    """Writes files with their manifest; the folder appears complete, replacing an earlier one of its kind.

    Raises:
        CheckpointError: something else is there, which would be lost.
    """
    _end_replacement(folder)
    check_replaceable(folder, schema)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    entries = {name: _entry(content) for name, content in files.items()}
    manifest = dump_json({"schema": schema, "files": entries})
    try:
        for name, content in {**files, MANIFEST: manifest}.items():
            with (aside / name).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        sync(aside)
        _replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def check_replaceable(folder: Path, schema: str) -> None:
    """Raises CheckpointError where a folder's place is taken by anything but one of the same kind."""
    if not folder.exists():
        return
    manifest = folder / MANIFEST
    if not manifest.is_file() or f'"{schema}"'.encode() not in manifest.read_bytes():
        raise CheckpointError(
            f"{folder}: a folder of {schema} would be written here; something else is there; name "
            "another place"
        )


def _replace(aside: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    sync(folder.parent)


def _end_replacement(folder: Path) -> None:
    """Takes the old folder back where a kill fell between the two renames of `_replace`."""
    if not folder.exists():
        for old in folder.parent.glob(f".{glob.escape(folder.name)}.*.old"):
            old.rename(folder)
            return


def read_folder(folder: Path, schema: str) -> dict[str, bytes]:
    """All files of a folder that `write_folder` wrote.

    Raises:
        CheckpointError: a file is missing, altered or unknown, or the folder is of another kind.
    """
    _end_replacement(folder)
    manifest = _manifest(folder, schema)
    _check_names(folder, manifest)
    files = {}
    for name, expected in manifest.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{path}: the manifest lists it, but it is missing; copy the whole folder")
        if path.stat().st_size != expected["bytes"]:
            raise CheckpointError(
                f"{path}: needs {expected['bytes']} bytes; has {path.stat().st_size}; "
                "it was cut short or altered: copy it again"
            )
        files[name] = path.read_bytes()
        if _entry(files[name]) != expected:
            raise CheckpointError(f"{path}: its sha256 is not the manifest's; it was altered: copy it again")
    return files


def _check_names(folder: Path, manifest: Mapping[str, Any]) -> None:
    for name in manifest:
        if Path(name).name != name or name in ("", "..", MANIFEST):
            raise CheckpointError(
                f"{folder / MANIFEST}: lists plain file names only; came {name!r}; copy the whole folder"
            )
    for path in sorted(folder.iterdir()):
        if path.name not in manifest and path.name != MANIFEST:
            raise CheckpointError(f"{path}: the manifest does not list it; move it elsewhere")


def _manifest(folder: Path, schema: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"{folder}: needs a {MANIFEST}; there is none: not a complete {schema} folder")
    try:
        manifest = json.loads(path.read_bytes())
        found, files = manifest["schema"], dict(manifest["files"])
        complete = all(set(entry) == {"bytes", "sha256"} for entry in files.values())
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a manifest ({type(error).__name__}); it was altered: copy it again"
        ) from error
    if found != schema:
        raise CheckpointError(f"{path}: needs schema {schema!r}; found {found!r}: another kind or version")
    if not complete:
        raise CheckpointError(f"{path}: needs bytes and sha256 of every file; it was altered: copy it again")
    return files


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": digest(content)}
