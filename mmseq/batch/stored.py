"""Targets that the store has: labels of whole samples, or of some of their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int64

from mmseq.batch.asked import Asked
from mmseq.batch.maker import Given, TargetMaker
from mmseq.batch.target import Target
from mmseq.heads import Head, Labels

if TYPE_CHECKING:
    from mmseq.store import Store, Window
    from mmseq.store.gather import Rows


class StoredTargets(TargetMaker):
    """Labels as they are stored; of whole samples, at their last step, or a share at each.

    Args:
        store: where they are.
        task: its name.
        head: encodes them.
    """

    def __init__(self, store: Store, task: str, head: Head) -> None:
        super().__init__(head)
        self.store, self.task = store, task
        self.timed = store.entry(task).timed

    def needs(self, window: Window | None) -> Mapping[str, bool]:
        return {}

    def target(self, given: Given) -> Target:
        asked, gathered = given.asked, given.gathered
        rows = gathered.targets[self.task]
        target, row = self._encoded(rows)
        if self.timed or not asked.early:
            return target
        return spread(target, _sample(rows)[row], gathered.starts, self.store.lengths[asked.samples])

    def labels(self, samples: Int64[np.ndarray, "member"]) -> Target:
        """The labels of whole samples alone, `where` being the sample's place here."""
        rows = self.store.gather(samples, [], [self.task], times=False).targets[self.task]
        target, row = self._encoded(rows)
        return replace(target, where=torch.from_numpy(_sample(rows)[row]))

    def weight(self, target: Target, asked: Asked) -> float:
        """The label weight; of labels at every step of a window, that of all windows by their number.

        Else the shares of a long sample, which is alone in its last windows, would count as whole labels.
        """
        weight = super().weight(target, asked)
        if self.timed or not asked.early or asked.window is None or not weight:
            return weight
        first, last = asked.window
        n_windows = -(-int(self.store.lengths[asked.samples].max()) // (last - first))
        return super().weight(self.labels(asked.samples), asked) / n_windows

    def _encoded(self, rows: Rows) -> tuple[Target, Int64[np.ndarray, "label"]]:
        """Labels where they stand, and the row of each."""
        encoded = self.head.encode(labels_of(self.store, self.task, rows.arrays))
        observed = None if encoded.observed is None else torch.from_numpy(encoded.observed)
        where, value = torch.from_numpy(rows.step[encoded.row]), torch.from_numpy(encoded.value)
        return Target(where, value, observed), encoded.row


def _sample(rows: Rows) -> Int64[np.ndarray, "row"]:
    """Of each row, its sample."""
    return np.repeat(np.arange(len(rows.starts) - 1), np.diff(rows.starts))


def spread(
    target: Target,
    sample: Int64[np.ndarray, "label"],
    starts: Int64[np.ndarray, "bound"],
    lengths: Int64[np.ndarray, "member"],
) -> Target:
    """Labels of whole samples → the same at each of their steps, a share of the weight at each.

    Args:
        target: a row a label.
        sample: of each label.
        starts: first step of each sample here, and the number of steps at the end.
        lengths: of each sample as a whole.
    """
    counts = np.diff(starts)[sample]
    row = np.repeat(np.arange(len(sample)), counts)
    where = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts - starts[sample], counts)
    weight = (1 / lengths[sample])[row].astype(np.float32)
    spread = target.take(torch.from_numpy(row))
    return replace(spread, where=torch.from_numpy(where), weight=torch.from_numpy(weight))


def labels_of(store: Store, task: str, arrays: Mapping[str, np.ndarray]) -> Labels:
    """Stored arrays of a task as raw labels."""
    vocabularies = store.vocabularies(task)
    n = len(next(iter(arrays.values())))
    return Labels(
        store.columns(task),
        arrays.get("values", np.zeros((n, 0), np.float32)),
        arrays["code"][:, 0] if "code" in arrays else np.zeros(0, np.int32),
        vocabularies[0] if vocabularies else (),
        task,
    )
