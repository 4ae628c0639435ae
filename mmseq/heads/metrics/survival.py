"""How well times until an event are told, where some labels are censored."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class Censored(Metric):
    """Base of a measure of all labels together, which it keeps: what is told, when, and if the event came.

    Args:
        width: how many numbers are told of each label.
    """

    rows: list[Tensor]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.add_state("rows", [], dist_reduce_fx="cat")

    def keep(self, told: Float[Tensor, "label width"], time: Tensor, event: Tensor) -> None:
        # Flat and of one type, so that a process without any label can join in.
        self.rows.append(torch.cat([time[:, None], event[:, None], told], 1).double().flatten())

    def compute(self) -> Tensor:
        if not len(self.rows):
            return torch.tensor(torch.nan)
        rows = dim_zero_cat(self.rows).view(-1, 2 + self.width).cpu().numpy()
        if not len(rows):
            return torch.tensor(torch.nan)
        value = self.measure(rows[:, 2:], rows[:, 0], rows[:, 1] > 0.5)
        return torch.tensor(value, dtype=torch.float64)

    @abstractmethod
    def measure(self, told: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
        """The measure of all labels."""


class Concordance(Censored):
    """Harrell's C: of the pairs in which it is known who has the event first, the share told in that order.

    A pair is known where the earlier time is that of an event; of equal times, where one of the two is
    censored, who then lives longer. A pair that is told equal counts one half. NaN without such a pair.

    Source: Harrell et al. 1982, "Evaluating the yield of medical tests".
    """

    higher_is_better = True

    def __init__(self) -> None:
        super().__init__(1)

    def update(
        self, told: Float[Tensor, "label"], time: Float[Tensor, "label"], event: Bool[Tensor, "label"]
    ) -> None:
        self.keep(told[:, None], time, event)

    def measure(self, told: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
        rank = np.unique(told[:, 0], return_inverse=True)[1]
        # Events at one time are no pair: in each order none of them has a later one to count.
        falling, rising = np.lexsort((-rank, ~event, time)), np.lexsort((rank, ~event, time))
        right = _later_above(rank[falling], event[falling])
        wrong = _later_above(rank.max() - rank[rising], event[rising])
        pairs = int((len(time) - _first_later(time, event)).sum())
        return (right + (pairs - right - wrong) / 2) / pairs if pairs else float("nan")


def _first_later(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Of each event, how many labels do not live longer than it: of earlier times, and events of the same."""
    same = np.sort(time[event])
    earlier = np.searchsorted(np.sort(time), time[event], side="left")
    together = np.searchsorted(same, time[event], "right") - np.searchsorted(same, time[event], "left")
    return np.asarray(earlier + together)


def _later_above(rank: np.ndarray, counts: np.ndarray) -> int:
    """Pairs of places i < j where i counts and j has the higher rank, by merging ever larger blocks."""
    n, top, found, width = len(rank), int(rank.max()) + 1, 0, 1
    while width < n:
        block = np.arange(n) // width
        is_later = block % 2 == 1
        key = block // 2 * top + rank
        later, mine = np.sort(key[is_later]), key[~is_later & counts]
        above = np.searchsorted(later, (mine // top + 1) * top) - np.searchsorted(later, mine, "right")
        found += int(above.sum())
        width *= 2
    return found


class Brier(Censored):
    """Integrated Brier score of survival probabilities at some times, each label weighted against censoring.

    BS(t) is the mean of S(t)² / G(T−) where the event came at T ≤ t, (1 − S(t))² / G(t) where T > t, and 0
    where the label was censored before; G is the Kaplan–Meier estimate of not being censored yet, over the
    same labels. The integral is by trapezes over the times, over their range; times from the longest
    label's on are left out, for nobody is observed then.

    Source: Graf et al. 1999, "Assessment and comparison of prognostic classification schemes for survival
    data".

    Args:
        times: at which probabilities are told.
    """

    higher_is_better = False

    def __init__(self, times: list[float]) -> None:
        super().__init__(len(times))
        self.times = np.array(times)

    def update(
        self,
        told: Float[Tensor, "label time"],
        time: Float[Tensor, "label"],
        event: Bool[Tensor, "label"],
    ) -> None:
        self.keep(told, time, event)

    def measure(self, told: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
        kept = self.times < time.max()
        if not kept.any():
            return float("nan")
        at, told = self.times[kept], told[:, kept]
        came = event[:, None] & (time[:, None] <= at)
        later = time[:, None] > at
        share = _uncensored(time, event, time, before=True)[:, None]
        weight = np.where(came, 1 / np.where(came, share, 1), 0) + np.where(
            later, 1 / np.where(later, _uncensored(time, event, at), 1), 0
        )
        scores = (weight * (told - later) ** 2).mean(0)
        if len(at) == 1:
            return float(scores[0])
        return float(((scores[1:] + scores[:-1]) / 2 * np.diff(at)).sum() / (at[-1] - at[0]))


def _uncensored(time: np.ndarray, event: np.ndarray, at: np.ndarray, before: bool = False) -> np.ndarray:
    """G(t), or G(t−), by Kaplan and Meier; at equal times events come before censoring."""
    ends, place = np.unique(time, return_inverse=True)
    censored = np.bincount(place, ~event, len(ends))
    at_risk = len(time) - np.concatenate([[0], np.cumsum(np.bincount(place, minlength=len(ends)))[:-1]])
    at_risk = at_risk - np.bincount(place, event, len(ends))
    factor = np.where(censored > 0, 1 - censored / np.maximum(at_risk, 1), 1)
    share = np.concatenate([[1.0], np.cumprod(factor)])
    return np.asarray(share[np.searchsorted(ends, at, side="left" if before else "right")])
