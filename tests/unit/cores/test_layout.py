"""The time-major layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from mmseq.batch import Timeline, pad
from mmseq.cores.layout import layout, previous
from mmseq.testing.build import LENGTHS, random_timeline


def timeline(*lengths: int) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0))


def test_uncut_order_is_that_of_a_packed_sequence() -> None:
    ragged = timeline(*(n for n in LENGTHS if n))
    where = layout(ragged)
    steps = torch.randn(ragged.n_steps, 3)
    padded, _ = pad(steps, ragged.starts)
    packed = pack_padded_sequence(padded, ragged.lengths, batch_first=True, enforce_sorted=False)
    assert where.sizes == packed.batch_sizes.tolist()
    assert ragged.lengths[where.order].tolist() == sorted(ragged.lengths_list, reverse=True)
    for i, rows in enumerate(packed.data.split(where.sizes)):
        mine = where.spread(steps).split(where.sizes)[i]
        assert torch.equal(mine.sort(0).values, rows.sort(0).values)  # equal lengths may swap rows


@pytest.mark.parametrize("keep", [1.0, 0.75, 0.0])
def test_collect_undoes_spread(keep: float) -> None:
    ragged = timeline(*LENGTHS)
    where = layout(ragged, keep)
    steps = torch.randn(ragged.n_steps, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(where.collect(where.spread(steps)), steps)
    assert torch.equal(where.sample[where.slot], ragged.sample)
    assert torch.equal(ragged.sample[where.step], where.sample)  # a slot that pads stays with its sample
    assert len(where.step) == sum(duration * rows for duration, rows in where.blocks) == sum(where.sizes)


@pytest.mark.parametrize("keep", [1.0, 0.75])
def test_moves_have_the_gradients_of_indexing(keep: float) -> None:
    where = layout(timeline(4, 0, 1, 3), keep)
    slots = torch.randn(len(where.step), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(where.collect, slots)
    steps = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)

    def there_and_back(steps: Tensor) -> Tensor:
        return where.collect(where.spread(steps).sin())

    assert torch.autograd.gradcheck(there_and_back, steps)


def test_blocks_are_cut_when_few_enough_rows_are_left() -> None:
    ragged = timeline(9, 2, 5, 5, 2, 0)
    assert layout(ragged, 1.0).blocks == [(2, 5), (3, 3), (4, 1)]
    assert layout(ragged, 0.5).blocks == [(9, 5)], "sixteen slots of padding are cheaper than a call"
    longer = timeline(90, 20, 50, 50, 20, 0)
    assert layout(longer, 0.5).blocks == [(50, 5), (40, 1)]
    assert layout(longer, 0.1).blocks == [(90, 5)]
    assert layout(ragged, 1.0).sizes == [5, 5, 3, 3, 3, 1, 1, 1, 1]


def test_blocks_have_at_most_so_many_slots() -> None:
    """Caught: a part that gets the rows of the next block; durations that do not add up."""
    ragged = timeline(90, 20, 50, 50, 20, 0)
    assert layout(ragged, 0.5, 100).blocks == [(16, 5), (17, 5), (17, 5), (40, 1)]
    assert layout(ragged, 0.5, 3).blocks[:52] == [(1, 5)] * 50 + [(2, 1), (3, 1)], "a time is never divided"
    whole, parts = layout(ragged, 0.5), layout(ragged, 0.5, 100)
    assert torch.equal(whole.step, parts.step) and torch.equal(whole.last, parts.last)


def test_previous_is_the_row_one_time_earlier() -> None:
    ragged = timeline(3, 0, 1, 2)
    where = layout(ragged)
    steps = torch.arange(6.0)[:, None]  # samples are 0 1 2, 3, 4 5
    begin = torch.tensor([[-1.0], [-3.0], [-2.0]])  # longest first
    before = where.collect(previous(where.spread(steps), begin, where))
    assert before[:, 0].tolist() == [-1, 0, 1, -2, -3, 4]


def test_last_slot_of_each_rank() -> None:
    ragged = timeline(*LENGTHS)
    for keep in (1.0, 0.6):
        where = layout(ragged, keep)
        assert torch.equal(where.step[where.last], ragged.last[where.order[: len(where.last)]])


def test_is_computed_once_per_timeline() -> None:
    ragged = timeline(3, 1)
    assert layout(ragged) is layout(ragged)
    assert layout(ragged) is not layout(ragged, 0.5)
    assert layout(timeline(3, 1)) is not layout(ragged)
