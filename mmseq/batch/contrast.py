"""Targets of a modality without a likelihood: its next step, among others that were drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64

from mmseq.batch.candidates import Candidates
from mmseq.batch.events import Events
from mmseq.batch.next_step import Following
from mmseq.batch.target import Target
from mmseq.random import hash_name, integers
from mmseq.store.draw import Drawn, steps_of_events

if TYPE_CHECKING:
    from mmseq.modalities import Modality
    from mmseq.store import Store

_EVALUATION = hash_name("evaluation")  # where there is no step that a draw could depend on


class Negatives:
    """Draws steps of a modality, evenly over its events in some samples.

    What is drawn is a whole step, as the next one is: where several events share one, their number would
    give it away.

    Args:
        store: where they are.
        modality, name: whose events.
        task: whose negatives; each task draws its own.
        n: how many for each sample.
        among: the samples to draw from.
    """

    def __init__(
        self,
        store: Store,
        modality: Modality,
        name: str,
        *,
        task: str,
        n: int,
        among: Int64[np.ndarray, "member"],
    ) -> None:
        self.store, self.modality, self.name, self.n = store, modality, name, n
        self.layer = hash_name(f"negatives {task}")
        self.among = np.sort(among)
        self.ends = np.cumsum(store.n_events(name)[self.among])

    def draw(self, samples: Int64[np.ndarray, "member"], seed: int | None) -> Drawn:
        """So many steps for each sample, which depend on the sample and the seed alone.

        Args:
            samples: that are trained or evaluated.
            seed: of the optimizer step; None: evaluation.
        """
        total = int(self.ends[-1]) if len(self.ends) else 0
        if not total:  # nothing has a next event either
            samples = samples[:0]
        seed = _EVALUATION if seed is None else seed
        event = integers(max(total, 1), samples.astype(np.int64), self.n, seed, self.layer).reshape(-1)
        owner = np.searchsorted(self.ends, event, side="right")
        begin = np.append(0, self.ends)[owner]
        return steps_of_events(self.store, self.name, self.among[owner], event - begin)

    def candidates(
        self,
        events: Events,
        after: Following,
        drawn: Drawn,
    ) -> Candidates:
        """The next step of each label, and the steps drawn for its sample.

        Args:
            events: of the batch.
            after: where the next steps are.
            drawn: for the batch's samples.
        """
        used, positive = np.unique(after.row, return_inverse=True)
        row = np.searchsorted(after.present, events.step.numpy())
        kept = np.flatnonzero(np.isin(row, used))
        own = events.take(torch.from_numpy(kept))
        own = replace(own, step=torch.from_numpy(np.searchsorted(used, row[kept])))
        vocabularies = self.store.vocabularies(self.name)
        others = self.modality.events(torch.from_numpy(drawn.rows.step), drawn.rows.arrays, vocabularies)
        return Candidates(
            own,
            others,
            len(used),
            len(drawn.sample),
            torch.from_numpy(positive.astype(np.int64)),
            torch.from_numpy(after.sample),
        )

    def target(
        self,
        events: Events,
        after: Following,
        samples: Int64[np.ndarray, "member"],
        time: np.ndarray,
        drawn: Drawn,
    ) -> Target:
        """Labels with their candidates; a draw that is the label's own next step is no other.

        Args:
            events: of the batch.
            after: where the next steps are.
            samples: of the batch.
            time: of its steps.
            drawn: for these samples.
        """
        sample, at = drawn.sample.reshape(-1, self.n), drawn.time.reshape(-1, self.n)
        is_own = sample[after.sample] == samples[after.sample, None]
        is_own &= at[after.sample] == time[after.present[after.row]][:, None]
        return replace(
            bare_target(after),
            other=torch.from_numpy(~is_own),
            candidates=self.candidates(events, after, drawn),
        )


def bare_target(after: Following) -> Target:
    """Labels without candidates, which say how many there are."""
    where = torch.from_numpy(after.where)
    return Target(where, torch.zeros_like(where), wait=torch.from_numpy(after.wait))
