"""Names of the files in a store."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import quote

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.sha256"
STEP_INDEX = "steps.index.npy"
IDS, GROUPS, SPLITS, ORIGINS = "ids.npy", "groups.npy", "splits.npy", "origins.npy"
STEP_TIME = "steps.time.npy"


def shard_folder(root: Path, shard: int) -> Path:
    return root / f"shard-{shard:05d}"


@cache
def index_file(name: str) -> str:
    """First row of every sample, counted over the whole store."""
    return f"index.{quote(name, safe='')}.npy"


@cache
def row_file(name: str, part: str) -> str:
    """Part `step`, `values`, `code`, `payload` or `ends` of a modality or task, in a shard."""
    return f"rows.{quote(name, safe='')}.{part}.npy"


ABSOLUTE_TIME = "absolute-time"  # only while a store is being built
