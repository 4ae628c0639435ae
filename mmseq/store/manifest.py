"""What a store says of itself: `manifest.json`, and the digest that it is checked by."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mmseq.bundle import MAX_JSON, parse_json
from mmseq.disk import digest, digest_file, naming, open_plain, plain_size, write_file
from mmseq.errors import CheckpointError
from mmseq.sources import Payload
from mmseq.store.layout import MANIFEST, MANIFEST_DIGEST
from mmseq.store.plan import SCHEMA

MAX_DIGEST = 1_000
REMEDY = "delete the store and prepare again"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class File(_Part):
    """One file: its size in bytes and its sha256."""

    size: int
    sha256: str


class PayloadEntry(_Part):
    """What the rows of a modality hold beside numbers and codes.

    Attributes:
        column: where it came from.
        dtype: of its elements.
        shape: of a row's; None: a row of elements, of any number.
    """

    column: str
    dtype: Literal["uint8", "int16", "float16", "float32"]
    shape: list[int] | None

    @model_validator(mode="after")
    def _has_room(self) -> PayloadEntry:
        if self.shape is not None and not (1 <= len(self.shape) <= 4 and all(n > 0 for n in self.shape)):
            raise ValueError("the shape of a payload has one to four sizes above 0")
        return self


def payload_entry(payload: Payload | None) -> PayloadEntry | None:
    """What a manifest says of a payload."""
    if payload is None:
        return None
    shape = None if payload.shape is None else list(payload.shape)
    return PayloadEntry.model_validate({"column": payload.column, "dtype": payload.dtype, "shape": shape})


class RowsEntry(_Part):
    """A modality or a task.

    Attributes:
        numbers: names of its number columns, in order.
        codes: names of its code columns, in order.
        vocabularies: of each code column, the strings behind its codes.
        dtype: of the numbers.
        timed: its rows belong to steps; otherwise to samples.
        n_rows: rows in the whole store.
        shared_steps: some step has more than one of its rows.
        report: how many rows were read, and how many of them dropped or averaged, and why.
        payload: text, pixels, sound or vectors; None where there are none.
        unread: of inputs for a model that exists: by code of a pivoted table that no column is made of, its
            rows with a number.
    """

    numbers: list[str]
    codes: list[str]
    vocabularies: list[list[str]]
    dtype: Literal["float32", "float64"]
    timed: bool
    n_rows: int
    shared_steps: bool
    report: dict[str, int]
    payload: PayloadEntry | None = None
    unread: dict[str, int] = {}

    @property
    def remarks(self) -> dict[str, int]:
        """Why rows that were read are not there, or not as they were; only what happened."""
        return {why: n for why, n in self.report.items() if n and why != "rows"}


class Shard(_Part):
    """Samples [first, stop), in a folder of their own."""

    first: int
    stop: int
    n_steps: int
    files: dict[str, File]


class Manifest(_Part):
    """A whole store.

    Attributes:
        schema_version: of this format.
        fingerprint: of what it was made from.
        plan: what was asked for.
        clock: `number` (in `unit`, as given) or `moment` (UTC, relative to each sample's origin).
        unit: of all times.
        group_names: behind the codes of groups.npy; None where there are no groups.
        files: those beside the shards.
    """

    schema_version: int
    fingerprint: str
    plan: dict[str, Any]
    clock: Literal["number", "moment"]
    unit: Literal["seconds", "minutes", "hours", "days"]
    n_samples: int
    n_steps: int
    modalities: dict[str, RowsEntry]
    tasks: dict[str, RowsEntry]
    group_names: list[str] | None
    files: dict[str, File]
    shards: list[Shard]


def file_entry(path: Path) -> File:
    return File(size=path.stat().st_size, sha256=digest_file(path))


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Writes it, and its own digest as `sha256sum -c` reads it. Raises OSError where the disk refuses."""
    content = (manifest.model_dump_json(indent=1) + "\n").encode()
    for path, text in ((root / MANIFEST, content), (root / MANIFEST_DIGEST, _sealing(content))):
        with naming(path):
            write_file(path, text)


def _sealing(content: bytes) -> bytes:
    return f"{digest(content)}  {MANIFEST}\n".encode()


def read_manifest(root: Path) -> Manifest:
    """Reads and checks it.

    Raises:
        CheckpointError: it is missing, altered, or of another version.
    """
    path = root / MANIFEST
    said, content = _read(root / MANIFEST_DIGEST, MAX_DIGEST), _read(path, MAX_JSON)
    if said != _sealing(content):
        raise CheckpointError(
            f"{path}: must be as {root / MANIFEST_DIGEST} says; one of the two was altered; {REMEDY}"
        )
    raw = parse_json(content, path)
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA:
        raise CheckpointError(
            f"{path}: a store of schema {SCHEMA} can be read; {str(version)[:100]} came; {REMEDY}"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"{path}: {error.errors()[0]['msg']}; {REMEDY}") from error


def _read(path: Path, most: int) -> bytes:
    size = plain_size(path)
    if size is None or size > most:
        came = "there is none" if size is None else f"it has {size:,} bytes, more than {most:,}"
        raise CheckpointError(f"{path}: a store needs this plain file; {came}; {REMEDY}")
    try:
        with open_plain(path) as file:
            return file.read(size)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read; {error.strerror}; {REMEDY}") from error
