"""A modality under test, fitted on random cells, and ragged raw events for it."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import Events, Timeline
from mmseq.bundle import dump_json
from mmseq.modalities import Arrays, Modality, ModalityConfig, modalities
from mmseq.state import State
from mmseq.testing.build import LENGTHS, chunks, random_timeline
from mmseq.testing.events import (
    NEW,
    WORDS,
    n_rows,
    numbers_of,
    random_arrays,
    random_steps,
    stored,
    take_events_at,
)

Part = tuple[Timeline, Tensor, Tensor]
"""Some samples or steps: their timeline, where these steps stand, and which samples they are."""


class ModalityTrial:
    """A fresh fitted modality in float64, and a ragged batch for it."""

    def __init__(self, config: ModalityConfig, seed: int) -> None:
        self.config = config
        self.modality_class = modalities.component_class(config.kind)
        self.reading = self.modality_class.reading(config)
        self.static = config.static
        self.rng = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.training = random_arrays(self.reading, 400, self.rng)
        self.spec = self.fit([self.training])
        self.modality = self.build(self.spec)
        self.timeline = random_timeline(LENGTHS * 5 + (4, 9, 2, 6), self.generator, continues=True)
        self.step = self._steps()
        self.arrays = random_arrays(self.reading, len(self.step), self.rng, len(WORDS) + 1)
        self.events = self.make(self.step, self.arrays)

    def _steps(self) -> Tensor:
        places = self.timeline.n_samples if self.static else self.timeline.n_steps
        return random_steps(places, self.generator, repeats=1 if self.static else 3)

    def fit(self, parts: Sequence[Arrays], vocabulary: tuple[str, ...] = WORDS) -> Any:
        return self.modality_class.fit(self.config, stored(self.reading, parts, vocabulary))

    def build(self, spec: Any) -> Modality:
        return copy.deepcopy(modalities.build(self.config, spec)).double()

    def json(self, spec: Any) -> bytes:
        """A spec as the bundle holds it."""
        return dump_json(spec.model_dump(mode="json"))

    def reread(self, spec: Any) -> Any:
        return self.modality_class.Spec.model_validate(json.loads(self.json(spec)))

    def make(self, step: Tensor, arrays: Arrays, words: tuple[str, ...] = (*WORDS, NEW)) -> Events:
        return self.modality.events(step, arrays, (words,) * len(self.reading.codes))

    def cut(self, arrays: Arrays, n_parts: int) -> list[Arrays]:
        """Arrays in chunks, one of them empty."""
        bounds = [0, *np.linspace(0, n_rows(arrays), n_parts + 1).astype(int).tolist()]
        return [{name: value[a:b] for name, value in arrays.items()} for a, b in pairwise(bounds)]

    def run(
        self, events: Events, timeline: Timeline, state: State | None = None
    ) -> tuple[dict[str, Tensor], State]:
        with torch.no_grad():
            ready, after = self.modality(events, timeline, state)
        return numbers_of(ready), after

    def whole(self) -> dict[str, Tensor]:
        return self.run(self.events, self.timeline)[0]

    def chunks(self, size: int) -> list[Part]:
        """So many steps of every sample at a time."""
        samples = torch.arange(self.timeline.n_samples)
        return [(timeline, where, samples) for timeline, where in chunks(self.timeline, size)]

    def carry(self, parts: Sequence[Part], *, keep: bool) -> tuple[dict[str, Tensor], State]:
        """What all parts give, put together, and the last state; kept from part to part or not."""
        found = {name: torch.full_like(value, torch.nan) for name, value in self.whole().items()}
        state: State | None = None
        for timeline, where, samples in parts:
            events, rows = take_events_at(self.events, samples if self.static else where)
            ready, after = self.run(events, timeline, state)
            ready["step"] = (samples if self.static else where)[events.step].double()
            for name, value in ready.items():
                found[name][rows] = value
            state = after if keep else None
        return found, after
