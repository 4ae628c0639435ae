"""Folders of files that are complete or not there, and that notice a flipped bit.

Every file's size and sha256 stand in `manifest.json`, and there its own. A folder is written beside its
place, flushed to disk, and renamed. Nothing in it is ever unpickled or imported, and no link is followed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmseq.aside import aside, discard, sweep
from mmseq.disk import digest, make_folder, open_plain, plain_size, sync, write_file, writing
from mmseq.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST = "manifest.json"
OLD = ".mmseq-old."
"""Begins the name of a folder that is being replaced: it is whole."""

MAX_JSON = 256 << 20


def dump_json(value: Any) -> bytes:
    """Strict JSON (no NaN), readable."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def parse_json(content: bytes, where: object) -> Any:
    """Strict JSON back: no NaN, no key twice, nothing endless.

    Args:
        content: UTF-8.
        where: the file that it stands in.

    Raises:
        CheckpointError: it is none.
    """
    try:
        if len(content) > MAX_JSON:
            raise ValueError(f"{len(content):,} bytes are more than {MAX_JSON:,}")
        text = content.decode()
        value = json.loads(text, object_pairs_hook=_map, parse_float=_number, parse_constant=_number)
        if "\\u" in text:
            dump_json(value)  # half of a pair of surrogates is no text
        return value
    except (ValueError, RecursionError, MemoryError) as error:
        problem = f"needs strict JSON; {str(error)[:200] or type(error).__name__}; it was altered"
        raise CheckpointError(f"{where}: {problem}: copy it again") from error


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _number(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text[:20]} is no finite number")
    return number


def write_folder(folder: Path, files: Mapping[str, bytes], schema: str) -> None:
    """Writes files with their manifest; the folder appears complete, replacing an earlier one of its kind.

    Raises:
        CheckpointError: something else is there, which would be lost; or the disk refuses or is full, and
            what was there before stays.
    """
    make_folder(folder.parent)
    _tidy(folder.parent)
    end_replacement(folder)
    check_replaceable(folder, schema)
    entries = {name: _entry(content) for name, content in files.items()}
    with aside(folder) as root:
        for name, content in {**files, MANIFEST: _dump_manifest(schema, entries)}.items():
            with writing(folder / name):
                write_file(root / name, content)
        with writing(folder):
            sync(root)
            _replace(root, folder)


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


def _replace(root: Path, folder: Path) -> None:
    old = folder.with_name(OLD + folder.name)
    if folder.exists():
        folder.rename(old)
    try:
        root.rename(folder)
    except OSError:
        end_replacement(folder)
        raise
    sync(folder.parent)
    discard(old)


def end_replacement(folder: Path) -> None:
    """Takes the old folder back where a kill fell between the two renames of `_replace`."""
    old = folder.with_name(OLD + folder.name)
    if old.exists() and not folder.exists():
        with writing(folder):
            old.rename(folder)


def found_at(folder: Path) -> Path:
    """Where a folder that `write_folder` wrote is now: at its place, or beside it amid its replacement.

    Where it is not there at all, that is its place. A kill between the two renames of `_replace` leaves it
    whole beside its place, so whether it exists is asked of what this returns.
    """
    if not folder.exists() and (old := folder.with_name(OLD + folder.name)).exists():
        return old
    return folder


def _tidy(parent: Path) -> None:
    """Removes what kills left: folders half written, and folders that have been replaced."""
    sweep(parent)
    for old in parent.glob(f"{OLD}*"):
        if old.with_name(old.name.removeprefix(OLD)).exists():
            discard(old)


class Files(dict[str, bytes]):
    """Contents by name; asking for one that is not there is an error for users.

    Args:
        folder: that they are in.
        schema: its kind.
    """

    def __init__(self, folder: Path, schema: str) -> None:
        super().__init__()
        self.folder, self.schema = folder, schema

    def __missing__(self, name: str) -> bytes:
        raise CheckpointError(
            f"{self.folder / name}: a folder of {self.schema} needs it; there is none; copy the whole folder"
        )

    def json(self, name: str) -> Any:
        """What a file holds. Raises CheckpointError where it is not strict JSON."""
        return parse_json(self[name], self.folder / name)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """What a file holds. Raises CheckpointError where it is not safetensors."""
        from mmseq.tensors import parse_tensors

        return parse_tensors(self[name], self.folder / name)


def names_in(parent: Path) -> set[str]:
    """Of all that `read_folder` can read in a folder, and of what else is there."""
    return {path.name.removeprefix(OLD) for path in parent.iterdir()} if parent.is_dir() else set()


def read_folder(folder: Path, schema: str, wanted: Callable[[str], bool] = lambda name: True) -> Files:
    """The files of a folder that `write_folder` wrote.

    Args:
        folder: the folder.
        schema: its kind.
        wanted: which names to read; of others nothing is asked, not even that they are there.

    Raises:
        CheckpointError: a file is missing, altered or unknown, or the folder is of another kind.
    """
    folder = found_at(folder)
    manifest = _read_manifest(folder, schema)
    for name in sorted(path.name for path in folder.iterdir()):
        if name not in manifest and name != MANIFEST and wanted(name):
            raise CheckpointError(f"{folder / name}: the manifest does not list it; move it elsewhere")
    files = Files(folder, schema)
    for name, expected in manifest.items():
        if not wanted(name):
            continue
        files[name] = content = _read(folder / name, expected["bytes"])
        if _entry(content) != expected:
            raise CheckpointError(
                f"{folder / name}: its sha256 is not the manifest's; it was altered: copy it again"
            )
    return files


def _read(path: Path, expected: int | None = None) -> bytes:
    size = plain_size(path)
    if size is None:
        came = "it is no plain file" if path.is_symlink() or path.exists() else "it is missing"
        raise CheckpointError(f"{path}: the manifest lists it, but {came}; copy the whole folder")
    if expected is not None and size != expected:
        raise CheckpointError(
            f"{path}: needs {expected} bytes; has {size}; it was cut short or altered: copy it again"
        )
    try:
        with open_plain(path) as file:
            return file.read(size)
    except (OSError, MemoryError) as error:
        raise CheckpointError(
            f"{path}: cannot be read; {getattr(error, 'strerror', None) or 'it does not fit into memory'}"
        ) from error


def _read_manifest(folder: Path, schema: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if plain_size(path) is None:
        raise CheckpointError(f"{folder}: needs a {MANIFEST}; there is none: not a complete {schema} folder")
    content = _read(path)
    manifest = parse_json(content, path)
    try:
        found, files = manifest["schema"], manifest["files"]
        complete = isinstance(found, str) and all(_is_entry(entry) for entry in files.values())
    except (TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a manifest; it was altered: copy it again") from error
    if found != schema:
        raise CheckpointError(
            f"{path}: needs schema {schema!r}; found {str(found)[:100]!r}: another kind or version"
        )
    if not complete:
        raise CheckpointError(f"{path}: needs bytes and sha256 of every file; it was altered: copy it again")
    if content != _dump_manifest(schema, files):
        raise CheckpointError(
            f"{path}: its own sha256 is not the one it ends with; it was altered: copy it again"
        )
    _check_names(path, files)
    return files


def _check_names(path: Path, names: Mapping[str, Any]) -> None:
    for name in names:
        if Path(name).name != name or name in ("", "..", MANIFEST) or "\0" in name or len(name) > 200:
            raise CheckpointError(
                f"{path}: lists plain file names only; came {name[:100]!r}; copy the whole folder"
            )


def _is_entry(entry: Any) -> bool:
    known = entry.keys() == {"bytes", "sha256"}
    return known and type(entry["bytes"]) is int and type(entry["sha256"]) is str


def _dump_manifest(schema: str, files: Mapping[str, Any]) -> bytes:
    """Its own digest is of what it would be without."""
    manifest = {"schema": schema, "files": files}
    return dump_json({**manifest, "sha256": digest(dump_json(manifest))})


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": digest(content)}
