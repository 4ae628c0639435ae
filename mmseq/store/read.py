"""A finished store, checked and memory-mapped."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, Integer, Shaped

from mmseq.config.splits import SPLITS as SPLIT_NAMES
from mmseq.errors import CheckpointError
from mmseq.store.form import Form, beside_forms, rows_of, shard_forms
from mmseq.store.gather import Gathered, Window, gather, gather_ahead, parts_of
from mmseq.store.layout import (
    GROUPS,
    IDS,
    MANIFEST,
    ORIGINS,
    SPLITS,
    STEP_INDEX,
    STEP_TIME,
    index_file,
    row_file,
    shard_folder,
)
from mmseq.store.manifest import REMEDY, File, Manifest, RowsEntry, read_manifest
from mmseq.store.map import check_size, map_npy
from mmseq.store.payload import PART, ROWS, rows_at_a_time, take_ragged
from mmseq.store.sound import check_bounds, check_codes, check_manifest, check_shard, check_text

CHUNK_ROWS = ROWS

_verified: set[tuple[str, str]] = set()  # shard folder and the digests of its files; once a process


class Store:
    """Samples as flat arrays, never padded.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self._shards: dict[int, dict[str, np.ndarray]] = {}
        self._index: dict[str, np.ndarray] = {}

    @classmethod
    def open(cls, path: Path) -> Store:
        """Checks the manifest, the files beside the shards, and the size of every file.

        Raises:
            CheckpointError: a file is missing, altered or cut short, or cannot be what it should be.
        """
        manifest = read_manifest(path)
        check_manifest(path / MANIFEST, manifest)
        store = cls(path, manifest)
        store._check_beside()
        for i, shard in enumerate(manifest.shards):
            folder = shard_folder(path, i)
            if folder.is_symlink() or not folder.is_dir():
                raise CheckpointError(f"{folder}: must be a folder of the store; it is not; {REMEDY}")
            _check_listed(path / MANIFEST, shard.files, store._shard_forms(i))
            for name, file in shard.files.items():
                check_size(folder / name, file)
        return store

    def _check_beside(self) -> None:
        files, place = self.manifest.files, self.path
        _check_listed(place / MANIFEST, files, self._beside_forms)
        arrays = {
            name: map_npy(place / name, files[name], form, is_new=True)
            for name, form in self._beside_forms.items()
        }
        n_rows = {index_file(name): entry.n_rows for name, entry in self._entries.items()}
        for name, n in {STEP_INDEX: self.manifest.n_steps, **n_rows}.items():
            check_bounds(place / name, arrays[name], n)
        check_text(place / IDS, arrays[IDS])
        if GROUPS in arrays:
            check_codes(place / GROUPS, arrays[GROUPS], len(self.group_names))
        if SPLITS in arrays and not np.isin(arrays[SPLITS], SPLIT_NAMES).all():
            raise CheckpointError(
                f"{place / SPLITS}: a split is one of {', '.join(SPLIT_NAMES)}; another came; {REMEDY}"
            )

    @cached_property
    def _beside_forms(self) -> dict[str, Form]:
        return beside_forms(self.manifest)

    def _shard_forms(self, i: int) -> dict[str, Form]:
        shard = self.manifest.shards[i]
        steps = self.index(STEP_INDEX)
        if steps[shard.stop] - steps[shard.first] != shard.n_steps:
            raise CheckpointError(
                f"{self.path / MANIFEST}: shard {i} must have the steps that {STEP_INDEX} says; "
                f"it has others; {REMEDY}"
            )
        rows = {name: int(b[-1] - b[0]) for name, b in self._bounds(i).items()}
        return shard_forms(self.manifest, i, rows)

    def _bounds(self, i: int) -> dict[str, Int64[np.ndarray, "bound"]]:
        """Of each modality and task, first row of each sample of a shard."""
        shard = self.manifest.shards[i]
        return {name: self.index(index_file(name))[shard.first : shard.stop + 1] for name in self._entries}

    def __reduce__(self) -> tuple[object, ...]:
        return Store, (self.path, self.manifest)

    def __len__(self) -> int:
        return self.manifest.n_samples

    @cached_property
    def ids(self) -> Shaped[np.ndarray, "sample"]:
        """The samples' ids, as text."""
        return self._beside(IDS)

    @cached_property
    def lengths(self) -> Int64[np.ndarray, "sample"]:
        """Steps of each sample."""
        return np.diff(self.index(STEP_INDEX))

    @cached_property
    def groups(self) -> Int32[np.ndarray, "sample"] | None:
        """Codes into `group_names`; None where no group is configured."""
        return self._beside(GROUPS) if GROUPS in self.manifest.files else None

    @property
    def group_names(self) -> list[str]:
        """The groups' names."""
        return self.manifest.group_names or []

    @cached_property
    def splits(self) -> Shaped[np.ndarray, "sample"] | None:
        """train, validation or test; None where no column says so."""
        return self._beside(SPLITS) if SPLITS in self.manifest.files else None

    @cached_property
    def origins(self) -> Int64[np.ndarray, "sample"] | None:
        """UTC nanoseconds at which each sample's time is 0; None where times are numbers as given."""
        return self._beside(ORIGINS) if ORIGINS in self.manifest.files else None

    @property
    def modalities(self) -> list[str]:
        return list(self.manifest.modalities)

    @property
    def tasks(self) -> list[str]:
        """Tasks that have stored labels."""
        return list(self.manifest.tasks)

    def entry(self, name: str) -> RowsEntry:
        """What the manifest says of a modality or task. Raises KeyError where it is not stored."""
        return self._entries[name]

    def columns(self, name: str) -> tuple[str, ...]:
        """Number columns of a modality or task; where it has none, code columns, or that of its payload."""
        return self._columns[name]

    def vocabularies(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Of each code column, the strings behind its codes."""
        return self._vocabularies[name]

    @cached_property
    def _columns(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(_columns_of(entry)) for name, entry in self._entries.items()}

    @cached_property
    def _vocabularies(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        return {name: tuple(map(tuple, entry.vocabularies)) for name, entry in self._entries.items()}

    @cached_property
    def _entries(self) -> dict[str, RowsEntry]:
        return rows_of(self.manifest)

    def shared_steps(self, name: str) -> bool:
        """Whether any step has more than one event of this modality."""
        return self.entry(name).shared_steps

    def n_events(self, name: str) -> Int64[np.ndarray, "sample"]:
        """Rows of each sample in a modality or task."""
        return np.diff(self.index(index_file(name)))

    def times(self, sample: int) -> Float64[np.ndarray, "step"]:
        """The times of a sample's steps, memory-mapped; see `Gathered.time`."""
        shard = int(self.shard_starts.searchsorted(sample, side="right")) - 1
        index = self.index(STEP_INDEX)
        first, stop = index[sample : sample + 2] - index[self.shard_starts[shard]]
        return self.shard(shard)[STEP_TIME][first:stop]

    def gather(
        self,
        samples: Integer[np.ndarray, "member"],
        modalities: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        window: Window | None = None,
        early: bool = False,
        times: bool = True,
        bare: Collection[str] = (),
    ) -> Gathered:
        """Some samples, side by side in this order; any sample may come again.

        Of a window, a timed row is there where its step is, a label of the whole sample where its last
        step is, and a static event always.

        Args:
            samples: their indices.
            modalities: whose events are wanted; None: of all.
            tasks: whose labels are wanted; None: of all.
            window: the steps [first, last) of each sample that are wanted; None: all.
            early: a label of the whole sample is there in every window that has steps of it.
            times: whether the times of the steps are wanted.
            bare: modalities of which only the steps are wanted, and no arrays.
        """
        modalities = self.modalities if modalities is None else modalities
        tasks = self.tasks if tasks is None else tasks
        return gather(self, samples, modalities, tasks, window, early, times, bare)

    def gather_ahead(
        self, samples: Integer[np.ndarray, "member"], name: str, window: Window, bare: bool = False
    ) -> tuple[Gathered, Bool[np.ndarray, "member"]]:
        """A window, and one step more of each sample: the modality's first one after it, if there is one.

        With `bare`, events come without arrays.

        Returns:
            the steps, with the events of this modality alone; and which samples have one more.
        """
        return gather_ahead(self, samples, name, window, bare)

    def chunks(self, name: str, samples: Integer[np.ndarray, "member"]) -> Iterator[dict[str, Any]]:
        """The arrays of a modality or task over some samples, in the store's order, a part at a time."""
        samples = np.sort(samples)
        counts = self.n_events(name)[samples]
        most = self._chunk_rows(name)
        bounds = np.flatnonzero(np.diff(np.cumsum(counts) // most, prepend=0))
        huge = np.flatnonzero(counts > most)  # each is a part by itself
        bounds = np.unique(np.concatenate([bounds, huge, huge + 1]))
        for part, rows in zip(np.split(samples, bounds), np.split(counts, bounds), strict=True):
            if rows.sum() > most and len(part) == 1:
                yield from self._slices(name, int(part[0]))
            elif len(part):
                yield gather(self, part, [name], []).events[name].arrays

    def _slices(self, name: str, sample: int) -> Iterator[dict[str, Any]]:
        """The arrays of one sample, however long, a part at a time."""
        shard = int(self.shard_starts.searchsorted(sample, side="right")) - 1
        index = self.index(index_file(name))
        base = index[self.shard_starts[shard]]
        entry, arrays, most = self.entry(name), self.shard(shard), self._chunk_rows(name)
        files = {part: arrays[row_file(name, part)] for part in parts_of(entry)}
        for first in range(index[sample] - base, index[sample + 1] - base, most):
            stop = min(first + most, index[sample + 1] - base)
            chunk: dict[str, Any] = {part: np.array(array[first:stop]) for part, array in files.items()}
            if entry.payload is not None and entry.payload.shape is None:
                like = np.empty(0, entry.payload.dtype)
                chunk[PART] = take_ragged([(arrays, np.arange(first, stop))], None, like, name)
            yield chunk

    def _chunk_rows(self, name: str) -> int:
        payload = self.entry(name).payload
        return CHUNK_ROWS if payload is None else rows_at_a_time(payload.dtype, payload.shape)

    @cached_property
    def shard_starts(self) -> Int64[np.ndarray, "shard"]:
        """First sample of each shard."""
        return np.array([shard.first for shard in self.manifest.shards], np.int64)

    def index(self, name: str) -> Int64[np.ndarray, "bound"]:
        """First row of each sample, counted over the whole store."""
        if name not in self._index:
            self._index[name] = self._beside(name)
        return self._index[name]

    def shard(self, i: int) -> dict[str, np.ndarray]:
        """The arrays of a shard by file name, memory-mapped; checked before they are first used.

        Raises:
            CheckpointError: a file was altered, or cannot be what it should be.
        """
        if i not in self._shards:
            folder, files = shard_folder(self.path, i), self.manifest.shards[i].files
            key = (str(folder), "".join(file.sha256 for file in files.values()))
            is_new = key not in _verified
            arrays = {
                name: map_npy(folder / name, files[name], form, is_new=is_new)
                for name, form in self._shard_forms(i).items()
            }
            if is_new:
                self._check_shard(i, arrays)
            self._shards[i] = arrays
            _verified.add(key)
        return self._shards[i]

    def _check_shard(self, i: int, arrays: dict[str, np.ndarray]) -> None:
        shard = self.manifest.shards[i]
        steps = self.index(STEP_INDEX)[shard.first : shard.stop + 1]
        rows = {name: (self._entries[name], bounds - bounds[0]) for name, bounds in self._bounds(i).items()}
        check_shard(shard_folder(self.path, i), arrays, steps - steps[0], rows)

    def _beside(self, name: str) -> np.ndarray:
        return map_npy(self.path / name, self.manifest.files[name], self._beside_forms[name], is_new=False)


def _columns_of(entry: RowsEntry) -> list[str]:
    payload = [entry.payload.column] if entry.payload is not None else []
    return entry.numbers or entry.codes or payload


def _check_listed(manifest: Path, files: dict[str, File], forms: dict[str, Form]) -> None:
    if files.keys() != forms.keys():
        names = sorted(files.keys() ^ forms.keys())
        raise CheckpointError(
            f"{manifest}: must list the files of its modalities and tasks; {names[0][:100]!r} is missing or "
            f"not one of them; {REMEDY}"
        )
