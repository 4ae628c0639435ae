"""A finished store, checked and memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32, Int64, Integer, Shaped

from mmseq.store.gather import Gathered, Window, gather, gather_ahead, parts_of
from mmseq.store.layout import GROUPS, IDS, ORIGINS, SPLITS, STEP_INDEX, index_file, row_file, shard_folder
from mmseq.store.manifest import Manifest, RowsEntry, read_manifest
from mmseq.store.map import check_size, map_npy

CHUNK_ROWS = 131_072

_verified: set[tuple[str, str]] = set()  # shard folder and digest of its listing; once a process


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
            CheckpointError: a file is missing, altered or cut short.
        """
        manifest = read_manifest(path)
        for name, file in manifest.files.items():
            map_npy(path / name, file, is_new=True)
        for i, shard in enumerate(manifest.shards):
            for name, file in shard.files.items():
                check_size(shard_folder(path, i) / name, file)
        return cls(path, manifest)

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
        """Number columns of a modality or task; where it has none, its code columns."""
        return self._columns[name]

    def vocabularies(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Of each code column, the strings behind its codes."""
        return self._vocabularies[name]

    @cached_property
    def _columns(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(entry.numbers or entry.codes) for name, entry in self._entries.items()}

    @cached_property
    def _vocabularies(self) -> dict[str, tuple[tuple[str, ...], ...]]:
        return {name: tuple(map(tuple, entry.vocabularies)) for name, entry in self._entries.items()}

    @cached_property
    def _entries(self) -> dict[str, RowsEntry]:
        return self.manifest.modalities | self.manifest.tasks

    def shared_steps(self, name: str) -> bool:
        """Whether any step has more than one event of this modality."""
        return self.entry(name).shared_steps

    def n_events(self, name: str) -> Int64[np.ndarray, "sample"]:
        """Rows of each sample in a modality or task."""
        return np.diff(self.index(index_file(name)))

    def gather(
        self,
        samples: Integer[np.ndarray, "member"],
        modalities: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        window: Window | None = None,
        early: bool = False,
        times: bool = True,
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
        """
        modalities = self.modalities if modalities is None else modalities
        tasks = self.tasks if tasks is None else tasks
        return gather(self, samples, modalities, tasks, window, early, times)

    def gather_ahead(
        self, samples: Integer[np.ndarray, "member"], name: str, window: Window
    ) -> tuple[Gathered, Bool[np.ndarray, "member"]]:
        """A window, and one step more of each sample: the modality's first one after it, if there is one.

        Returns:
            the steps, with the events of this modality alone; and which samples have one more.
        """
        return gather_ahead(self, samples, name, window)

    def chunks(self, name: str, samples: Integer[np.ndarray, "member"]) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of a modality or task over some samples, in the store's order, a part at a time."""
        samples = np.sort(samples)
        counts = self.n_events(name)[samples]
        bounds = np.flatnonzero(np.diff(np.cumsum(counts) // CHUNK_ROWS, prepend=0))
        huge = np.flatnonzero(counts > CHUNK_ROWS)  # each is a part by itself
        bounds = np.unique(np.concatenate([bounds, huge, huge + 1]))
        for part, rows in zip(np.split(samples, bounds), np.split(counts, bounds), strict=True):
            if rows.sum() > CHUNK_ROWS and len(part) == 1:
                yield from self._slices(name, int(part[0]))
            elif len(part):
                yield gather(self, part, [name], []).events[name].arrays

    def _slices(self, name: str, sample: int) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of one sample, however long, a part at a time."""
        shard = int(self.shard_starts.searchsorted(sample, side="right")) - 1
        index = self.index(index_file(name))
        base = index[self.shard_starts[shard]]
        files = {part: self.shard(shard)[row_file(name, part)] for part in parts_of(self.entry(name))}
        for first in range(index[sample] - base, index[sample + 1] - base, CHUNK_ROWS):
            stop = min(first + CHUNK_ROWS, index[sample + 1] - base)
            yield {part: np.array(array[first:stop]) for part, array in files.items()}

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
            CheckpointError: a file was altered.
        """
        if i not in self._shards:
            folder, files = shard_folder(self.path, i), self.manifest.shards[i].files
            key = (str(folder), self.manifest.fingerprint)
            is_new = key not in _verified
            self._shards[i] = {
                name: map_npy(folder / name, file, is_new=is_new) for name, file in files.items()
            }
            _verified.add(key)
        return self._shards[i]

    def _beside(self, name: str) -> np.ndarray:
        return map_npy(self.path / name, self.manifest.files[name], is_new=False)
