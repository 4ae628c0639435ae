"""The order in which a batch runs segment by segment, its samples side by side."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mmseq.batch import Timeline


@dataclass(frozen=True)
class Round:
    """One piece of each sample that still has one: steps that no segment begins among, but at their first.

    Attributes:
        lengths: steps of each row's piece; in the first round every sample is a row, some with no steps.
        closing: rows whose open segment closes where their piece begins; in all rounds but the first, all.
    """

    lengths: list[int]
    closing: list[int]


@dataclass(frozen=True)
class Rounds:
    """All rounds of a call.

    The samples are ranked by how many pieces they have, most first, so that each round's rows are the first
    ones of the round before. What stands in steps-then-samples has a row for each step, and after them a row
    for each sample, for what was so before the call.

    Attributes:
        rounds: in their order.
        order: the sample of each rank.
        rank: the rank of each sample.
        place: the steps, round after round and row after row.
        back: where each step stands in that order.
        closes: the steps at which a segment closes, in that order.
        closed: the first step of the segment that closes at each of these, in steps-then-samples.
        later: by step, whether a segment closes there.
        opened: the first step of the segment that each sample ends in, in steps-then-samples.
        count: how many steps that segment has so far.
    """

    rounds: list[Round]
    order: Int64[Tensor, "sample"]
    rank: Int64[Tensor, "sample"]
    place: Int64[Tensor, "step"]
    back: Int64[Tensor, "step"]
    closes: Int64[Tensor, "unit"]
    closed: Int64[Tensor, "unit"]
    later: Bool[Tensor, "step"]
    opened: Int64[Tensor, "sample"]
    count: Int64[Tensor, "sample"]


def plan(
    timeline: Timeline, mark: Bool[Tensor, "step"], steps: int | None, count: Int64[Tensor, "sample"]
) -> Rounds:
    """The rounds of a call.

    Args:
        timeline: of the call.
        mark: where a segment begins in any case.
        steps: how many steps a segment has at most; None: any number.
        count: steps of each sample's open segment, 0 before its first step.
    """
    lengths = np.array(timeline.lengths_list, np.int64)
    n_steps, n_samples = timeline.n_steps, len(lengths)
    before = count.cpu().numpy()
    sample = np.repeat(np.arange(n_samples), lengths)
    place = np.arange(n_steps) - np.repeat(lengths.cumsum() - lengths, lengths)
    begins = _begins(mark.cpu().numpy(), steps, place, before[sample])
    closes = begins & (before[sample] + place > 0)

    first = np.flatnonzero(begins | (place == 0))  # of each piece
    owner = sample[first]
    size = np.diff(first, append=n_steps)
    n_pieces = np.bincount(owner, minlength=n_samples)
    number = np.arange(len(first)) - (n_pieces.cumsum() - n_pieces)[owner]
    order = np.argsort(-n_pieces, kind="stable")
    rank = _inverse(order)
    turn = np.lexsort((rank[owner], number))
    steps_in_turn = np.argsort(_inverse(turn)[np.repeat(np.arange(len(first)), size)], kind="stable")

    opened = np.where(begins[first], first, n_steps + owner)  # by what each piece's segment was opened
    previous = np.where(number > 0, np.roll(opened, 1), n_steps + owner)
    closing = turn[closes[first[turn]]]
    ends = np.where(n_pieces > 0, n_pieces.cumsum() - 1, len(first))
    last = np.append(opened, 0)[ends]
    last = np.where(n_pieces > 0, last, n_steps + np.arange(n_samples))
    goes_on = last >= n_steps
    total = np.where(goes_on, before + lengths, np.append(size, 0)[ends])

    arrays = (order, rank, steps_in_turn, _inverse(steps_in_turn), first[closing], previous[closing])
    more = (closes, last, total)
    device = timeline.starts.device
    tensors = [torch.from_numpy(array).to(device) for array in (*arrays, *more)]
    return Rounds(_rounds(number[turn], size[turn], closes[first[turn]], n_samples), *tensors)


def _begins(mark: Any, steps: int | None, place: Any, before: Any) -> Any:
    """Where segments begin, by step.

    Args:
        place: of each step in its sample's part of the call.
        before: of each step, how many steps its sample's open segment had before the call.
    """
    begins = mark | (before + place == 0)
    if steps is None:
        return begins
    index = np.arange(len(mark))
    start = np.maximum.accumulate(np.where(begins, index, -1)) if len(mark) else index
    here = start >= index - place
    return begins | (np.where(here, index - start, before + place) % steps == 0)


def _inverse(order: Any) -> Any:
    inverse = np.empty_like(order)
    inverse[order] = np.arange(len(order))
    return inverse


def _rounds(number: Any, size: Any, closes: Any, n_samples: int) -> list[Round]:
    """Cuts pieces that stand round after round; the first round has a row for every sample."""
    n_rounds = int(number[-1]) + 1 if len(number) else 1
    bounds = np.searchsorted(number, np.arange(n_rounds + 1))
    rounds = [Round(size[a:b].tolist(), np.flatnonzero(closes[a:b]).tolist()) for a, b in pairwise(bounds)]
    rounds[0].lengths.extend([0] * (n_samples - len(rounds[0].lengths)))
    return rounds
