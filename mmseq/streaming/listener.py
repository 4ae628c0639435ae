"""What a stream has heard of its samples' recordings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseq.errors import DataError
from mmseq.modalities import Modality
from mmseq.modalities.payload import PayloadModality
from mmseq.sources import Recordings
from mmseq.streaming.clock import LiveClock, Time
from mmseq.streaming.pieces import Heard, hear, piece_of

Recorded = dict[str, Heard]
"""Of one sample, by modality."""

At = dict[Time, dict[str, list[Any]]]
"""Raw values by time and modality."""


class Listener:
    """Takes pieces of recordings, and gives windows with their times.

    Args:
        modalities: of the model.
        clock: of the stream.

    Attributes:
        payloads: by modality, how windows are cut, of those that are cut.
        heard: by sample, its recordings.
    """

    def __init__(self, modalities: Mapping[str, Modality], clock: LiveClock) -> None:
        payloads = {name: m.payload for name, m in modalities.items() if isinstance(m, PayloadModality)}
        self.payloads = {name: p for name, p in payloads.items() if isinstance(p, Recordings)}
        self.heard: dict[str, Recorded] = {}
        self._clock = clock

    def take(self, id: str, time: Time, values: Mapping[str, list[Any]]) -> tuple[At, Recorded]:
        """The windows that end in what came, and the sample's recordings from now on.

        Args:
            id: the sample; nothing of it is changed.
            time: absolute, when the pieces end.
            values: what came, by modality; others than recordings are passed over.

        Raises:
            DataError: a piece is none, does not go on where the last ended, or comes too late.
        """
        at: At = {}
        heard = dict(self.heard.get(id, {}))
        for name in self.payloads.keys() & values.keys():
            for value in values[name]:
                for end, window in self._hear(id, name, heard, value, time):
                    at.setdefault(end, {}).setdefault(name, []).append(window)
        return at, heard

    def _hear(
        self, id: str, name: str, heard: Recorded, value: Any, time: Time
    ) -> list[tuple[Time, np.ndarray]]:
        payload, last = self.payloads[name], self._clock.last.get(id)
        try:
            piece = piece_of(payload, value)
            if piece is None:
                return []
            windows, heard[name] = hear(payload, heard.get(name), piece, self._clock, time)
        except DataError as error:
            raise DataError(f"sample {id!r}, {name}: {error}") from error
        if windows and last is not None and windows[0][0] <= last:
            told = self._clock.told
            raise DataError(
                f"sample {id!r}, {name}: a window must end later than the sample's last time, {told(last)}; "
                f"it ends at {told(windows[0][0])}; push pieces up to a time before, or with, what else came"
            )
        return windows

    def dump(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Everything, to be saved: numbers for JSON, and of each modality the samples that are kept."""
        numbers: dict[str, Any] = {}
        kept: dict[str, list[np.ndarray]] = {}
        for id, own in self.heard.items():
            numbers[id] = {}
            for name, one in own.items():
                kept.setdefault(name, []).append(one.kept)
                facts = {"start": one.start, "rate": one.rate, "n": one.n, "k": one.k}
                numbers[id][name] = {**facts, "kept": len(one.kept)}
        return numbers, {name: torch.from_numpy(np.concatenate(parts)) for name, parts in kept.items()}

    def restore(self, numbers: Mapping[str, Any], kept: Mapping[str, Tensor]) -> None:
        """Takes in what `dump` gave."""
        rest = {name: samples.numpy() for name, samples in kept.items()}
        for id, own in numbers.items():
            self.heard[id] = {}
            for name, facts in own.items():
                first, rest[name] = np.split(rest[name], [facts["kept"]])
                self.heard[id][name] = Heard(**{**facts, "kept": first.copy()})
