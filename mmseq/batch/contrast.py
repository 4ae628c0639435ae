"""Targets of a modality without a likelihood: its next step, among others that were drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64

from mmseq.batch.asked import Asked
from mmseq.batch.candidates import Candidates
from mmseq.batch.events import Events
from mmseq.batch.maker import Given, StoredModality, TargetMaker
from mmseq.batch.next_step import Following, following, of_next_steps
from mmseq.batch.target import Target
from mmseq.random import hash_name, integers
from mmseq.store.draw import Drawn, begins_step, steps_of_events

if TYPE_CHECKING:
    from mmseq.heads import Head
    from mmseq.store import Gathered, Window

_EVALUATION = hash_name("evaluation")  # where there is no step that a draw could depend on


class Negatives:
    """Draws steps of a modality, evenly over those that it has in some samples.

    A step comes with all its events, as the next one does, and is as likely with many as with few: else their
    number would give the next one away.

    Args:
        stored: the modality.
        task: whose negatives; each task draws its own.
        n: how many for each sample.
        among: the samples to draw from.
    """

    def __init__(
        self, stored: StoredModality, *, task: str, n: int, among: Int64[np.ndarray, "member"]
    ) -> None:
        self.store, self.name, self.n = stored.store, stored.name, n
        self.layer = hash_name(f"negatives {task}")
        self.among = np.sort(among)
        self.ends = np.cumsum(self.store.n_events(self.name)[self.among])

    def draw(self, samples: Int64[np.ndarray, "member"], seed: int | None) -> Drawn:
        """So many steps for each sample, which depend on the sample and the seed alone.

        Args:
            samples: that are trained or evaluated.
            seed: of the optimizer step; None: evaluation.
        """
        if not len(self.ends) or not self.ends[-1]:  # nothing has a next event either
            samples = samples[:0]
        seed = _EVALUATION if seed is None else seed
        owner, place = self._events(samples.astype(np.int64), seed)
        return steps_of_events(self.store, self.name, owner, place)

    def _events(
        self, samples: Int64[np.ndarray, "member"], seed: int
    ) -> tuple[Int64[np.ndarray, "draw"], Int64[np.ndarray, "draw"]]:
        """The sample of each draw, and one of its events, evenly over steps.

        Events are drawn evenly; one that is not the first of its step is drawn again.
        """
        owner, place = self._event(samples, seed, 0)
        waiting = np.arange(len(owner) if self.store.shared_steps(self.name) else 0)
        for attempt in count(1):
            waiting = waiting[~begins_step(self.store, self.name, owner[waiting], place[waiting])]
            if not len(waiting):
                break
            for drawn, again in zip((owner, place), self._event(samples, seed, attempt), strict=True):
                drawn[waiting] = again[waiting]
        return owner, place

    def _event(
        self, samples: Int64[np.ndarray, "member"], seed: int, attempt: int
    ) -> tuple[Int64[np.ndarray, "draw"], Int64[np.ndarray, "draw"]]:
        """The sample of each draw, and the place of an event in it, evenly over events."""
        total = int(self.ends[-1]) if len(samples) else 1
        event = integers(total, samples, self.n, seed, self.layer, attempt).reshape(-1)
        owner = np.searchsorted(self.ends, event, side="right")
        return self.among[owner], event - np.append(0, self.ends)[owner]


class ContrastTargets(TargetMaker):
    """What a modality has at its next step, among steps that were drawn.

    Args:
        head: says how many for each sample, and weighs the labels.
        stored: the modality.
        task: whose negatives.
        own: predict only from the modality's own steps.
        among: the samples to draw from.
    """

    def __init__(
        self,
        head: Head,
        stored: StoredModality,
        *,
        task: str,
        own: bool,
        among: Int64[np.ndarray, "member"],
    ) -> None:
        super().__init__(head)
        self.stored, self.task, self.own = stored, task, own
        self.negatives = Negatives(stored, task=task, n=head.negatives, among=among)

    def drawing_from(self, among: Int64[np.ndarray, "member"]) -> ContrastTargets:
        return ContrastTargets(self.head, self.stored, task=self.task, own=self.own, among=among)

    def needs(self, window: Window | None) -> Mapping[str, bool]:
        return {self.stored.name: False} if window is None else {}

    def target(self, given: Given) -> Target:
        return of_next_steps(self.stored, given, self._target, bare=given.asked.bare)

    def _target(self, asked: Asked, gathered: Gathered, events: Events) -> Target:
        """Labels with their candidates; a draw that is the label's own next step is no other."""
        after = following(events.step.numpy(), gathered.starts, gathered.time, own=self.own)
        where = torch.from_numpy(after.where)
        target = Target(where, torch.zeros_like(where), wait=torch.from_numpy(after.wait))
        if asked.bare:
            return target
        drawn = self.negatives.draw(asked.samples, asked.seed)
        sample, at = (x.reshape(-1, self.negatives.n) for x in (drawn.sample, drawn.time))
        is_own = sample[after.sample] == asked.samples[after.sample, None]
        is_own &= at[after.sample] == gathered.time[after.present[after.row]][:, None]
        candidates = self._candidates(events, after, drawn)
        return replace(target, other=torch.from_numpy(~is_own), candidates=candidates)

    def _candidates(self, events: Events, after: Following, drawn: Drawn) -> Candidates:
        """The next step of each label, and the steps drawn for its sample."""
        used, positive = np.unique(after.row, return_inverse=True)
        row = np.searchsorted(after.present, events.step.numpy())
        kept = np.flatnonzero(np.isin(row, used))
        own = events.take(torch.from_numpy(kept))
        own = replace(own, step=torch.from_numpy(np.searchsorted(used, row[kept])))
        return Candidates(
            own,
            self.stored.events(drawn.rows),
            len(used),
            len(drawn.sample),
            torch.from_numpy(positive.astype(np.int64)),
            torch.from_numpy(after.sample),
        )
