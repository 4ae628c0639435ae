"""What each file of a store must be: its dtype and shape, as its manifest tells; nothing else is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmseq.store.layout import GROUPS, IDS, ORIGINS, SPLITS, STEP_INDEX, STEP_TIME, index_file, row_file
from mmseq.store.manifest import Manifest, RowsEntry
from mmseq.store.payload import ENDS, PART

TEXT = "<U"


@dataclass(frozen=True)
class Form:
    """Of one file.

    Attributes:
        dtype: as numpy writes it; `<U`: text of any width.
        shape: of the array; of a size that nothing tells, None.
    """

    dtype: str
    shape: tuple[int | None, ...]

    def is_met(self, dtype: str, shape: tuple[int, ...]) -> bool:
        """Whether a file that says so of itself has this form."""
        is_text = self.dtype == TEXT and dtype.startswith(TEXT)
        fits = len(shape) == len(self.shape) and all(
            asked in (None, came) for asked, came in zip(self.shape, shape, strict=True)
        )
        return fits and (is_text or dtype == self.dtype)

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def beside_forms(manifest: Manifest) -> dict[str, Form]:
    """Of the files beside the shards."""
    each, bounds = (manifest.n_samples,), (manifest.n_samples + 1,)
    forms = {IDS: Form(TEXT, each), STEP_INDEX: Form("<i8", bounds)}
    if manifest.group_names is not None:
        forms[GROUPS] = Form("<i4", each)
    if SPLITS in manifest.files:
        forms[SPLITS] = Form(TEXT, each)
    if manifest.clock == "moment":
        forms[ORIGINS] = Form("<i8", each)
    return forms | {index_file(name): Form("<i8", bounds) for name in rows_of(manifest)}


def shard_forms(manifest: Manifest, shard: int, n_rows: Mapping[str, int]) -> dict[str, Form]:
    """Of the files of a shard.

    Args:
        manifest: of the store.
        shard: which.
        n_rows: of each modality and task in this shard.
    """
    forms = {STEP_TIME: Form("<f8", (manifest.shards[shard].n_steps,))}
    for name, entry in rows_of(manifest).items():
        n = n_rows[name]
        if entry.timed:
            forms[row_file(name, "step")] = Form("<i4", (n,))
        if entry.numbers:
            forms[row_file(name, "values")] = Form(np.dtype(entry.dtype).str, (n, len(entry.numbers)))
        if entry.codes:
            forms[row_file(name, "code")] = Form("<i4", (n, len(entry.codes)))
        if entry.payload is not None:
            dtype, shape = np.dtype(entry.payload.dtype).str, entry.payload.shape
            forms[row_file(name, PART)] = Form(dtype, (None,) if shape is None else (n, *shape))
            if shape is None:
                forms[row_file(name, ENDS)] = Form("<i8", (n,))
    return forms


def rows_of(manifest: Manifest) -> dict[str, RowsEntry]:
    """Modalities and tasks."""
    return manifest.modalities | manifest.tasks
