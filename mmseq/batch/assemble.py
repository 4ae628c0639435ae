"""Stored samples → a batch."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from jaxtyping import Int64

from mmseq.batch.asked import Asked
from mmseq.batch.batch import Batch
from mmseq.batch.events import NumericEvents
from mmseq.batch.hiding import HiddenTargets, without
from mmseq.batch.maker import Given, StoredModality
from mmseq.batch.makers import target_maker
from mmseq.batch.order import split
from mmseq.batch.stored import StoredTargets
from mmseq.batch.target import Target
from mmseq.batch.timeline import Timeline
from mmseq.random import Noise

if TYPE_CHECKING:
    from mmseq.model import Model
    from mmseq.store import Gathered, Store, Window


class Assembler:
    """Reads samples from a store as a model wants them.

    Args:
        store: where they are.
        model: whose modalities make the events and whose heads encode the labels.
        tasks: whose targets are wanted; none: pure prediction.
        previous: also tell the last value before each next-step target, for its baseline.
        among: the samples whose events are negatives for others' next ones; None: all of the store.

    Attributes:
        modalities: by name, what makes their events.
        makers: by task, what makes its targets.
    """

    def __init__(
        self,
        store: Store,
        model: Model,
        *,
        tasks: list[str],
        previous: bool = False,
        among: Int64[np.ndarray, "member"] | None = None,
    ) -> None:
        self.store = store
        self.modalities = {
            name: StoredModality(store, name, modality) for name, modality in model.modalities.items()
        }
        self.makers = {
            task: target_maker(
                task,
                model.experiment.tasks[task],
                model.heads[task],
                store,
                self.modalities,
                previous=previous,
                among=np.arange(len(store)) if among is None else among,
            )
            for task in tasks
        }
        self.stored = {task: maker for task, maker in self.makers.items() if isinstance(maker, StoredTargets)}
        self.hiding = {task: maker for task, maker in self.makers.items() if isinstance(maker, HiddenTargets)}
        self.early = model.experiment.training.supervise == "every_step"
        self._whole: tuple[tuple[bytes, Window | None, int], dict[str, float]] | None = None

    @property
    def passes(self) -> list[bool]:
        """Whether cells are hidden, of each pass over the samples that evaluation takes."""
        return [False] * (not self.hiding or len(self.hiding) < len(self.makers)) + [True] * bool(self.hiding)

    def drawing_from(self, among: Int64[np.ndarray, "member"]) -> Assembler:
        """The same, but with the events of these samples as negatives."""
        other = copy.copy(self)
        other.makers = {task: maker.drawing_from(among) for task, maker in self.makers.items()}
        return other

    def batch(
        self,
        samples: Int64[np.ndarray, "member"],
        seed: int | None = None,
        window: Window | None = None,
        *,
        hide: bool = False,
    ) -> Batch:
        """These samples, in this order.

        Args:
            samples: their places in the store.
            seed: dropout is on, and draws its masks from it, as what is hidden is; None: it is off.
            window: the steps [first, last) of each sample; None: all.
            hide: without a seed, cells are hidden, and the tasks that hide them are asked; else the others.
        """
        asked = Asked(samples, window, seed, hide, early=self.early and seed is not None)
        return self._batch(asked, self._goes_on(asked))

    def micro_batch(
        self,
        samples: Int64[np.ndarray, "member"],
        part: int,
        parts: int,
        seed: int,
        window: Window | None = None,
    ) -> Batch:
        """One of `parts` micro-batches of a global batch, with the label weights of the whole.

        Args:
            samples: of the global batch.
            part: which one.
            parts: of how many; each has about as many steps.
            seed: of the global batch's first optimizer step.
            window: the steps [first, last) of each sample; None: all.
        """
        if parts == 1:
            return self.batch(samples, seed, window)
        whole = Asked(samples, window, seed, early=self.early)
        key = (samples.tobytes(), window, seed)
        if self._whole is None or self._whole[0] != key:  # the parts of a batch come one after another
            self._whole = (key, self._label_weights(whole))
        mine = replace(whole, samples=split(samples, self.store.lengths[samples], parts)[part])
        return replace(self._batch(mine, self._goes_on(whole), self._whole[1]), share=1 / parts)

    def labels(self, samples: Int64[np.ndarray, "member"]) -> dict[str, Target]:
        """The stored labels of whole samples alone, `where` being the sample's place here."""
        return {task: maker.labels(samples) for task, maker in self.stored.items()}

    def _goes_on(self, asked: Asked) -> bool:
        """Whether any sample has steps after the window."""
        return asked.window is not None and bool((self.store.lengths[asked.samples] > asked.window[1]).any())

    def _batch(self, asked: Asked, continues: bool, weights: dict[str, float] | None = None) -> Batch:
        """What is asked for, with the label weights of the whole batch that it is a part of, or its own."""
        given = self._given(asked, list(self.modalities))
        targets = self._targets(given)
        events = dict(given.events)
        for name, cells in given.hidden.items():
            events[name] = without(cast(NumericEvents, events[name]), cells)
        if weights is None:
            weights = self._weights(targets, asked)
        ids, timeline = self.store.ids[asked.samples].tolist(), _timeline(given.gathered, asked, continues)
        return Batch(ids, timeline, events, targets, weights, begin=asked.begin)

    def _label_weights(self, asked: Asked) -> dict[str, float]:
        """Of a whole global batch, reading only what targets are made of."""
        asked = replace(asked, bare=True)
        needs = [need for maker in self.makers.values() for need in maker.needs(asked.window).items()]
        names, whole = {name for name, _ in needs}, {name for name, with_arrays in needs if with_arrays}
        return self._weights(self._targets(self._given(asked, sorted(names), names - whole)), asked)

    def _given(self, asked: Asked, names: Sequence[str], bare: Collection[str] = ()) -> Given:
        """What the store has of these modalities, of the `bare` ones without their arrays."""
        gathered = self.store.gather(
            asked.samples, names, list(self.stored), asked.window, asked.early, bare=bare
        )
        events = {name: self.modalities[name].events(rows) for name, rows in gathered.events.items()}
        hidden = {}
        for maker in self.hiding.values() if asked.hides else ():
            name = maker.stored.name
            hidden[name] = maker.cells(cast(NumericEvents, events[name]), asked, gathered.starts)
        return Given(asked, gathered, events, hidden)

    def _targets(self, given: Given) -> dict[str, Target]:
        """Of the tasks that are asked: all in training, in evaluation those of the pass."""
        asked = given.asked
        return {
            task: maker.target(given)
            for task, maker in self.makers.items()
            if asked.seed is not None or (task in self.hiding) == asked.hide
        }

    def _weights(self, targets: Mapping[str, Target], asked: Asked) -> dict[str, float]:
        """The label weight of each task."""
        return {task: self.makers[task].weight(target, asked) for task, target in targets.items()}


def _timeline(gathered: Gathered, asked: Asked, continues: bool) -> Timeline:
    """The steps, and the noise at them."""
    starts, seed = gathered.starts, asked.seed
    delta = np.diff(gathered.time, prepend=0.0)
    delta[starts[:-1][np.diff(starts) > 0]] = 0  # if it goes on, the model knows better
    return Timeline(
        torch.from_numpy(starts),
        torch.from_numpy(gathered.time),
        torch.from_numpy(delta.astype(np.float32)),
        continues=continues,
        noise=None if seed is None else Noise(seed, torch.from_numpy(asked.samples.astype(np.int64))),
    )
