"""Bags of tokens: means over each event's own, none of whose neighbours count."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from mmseq.batch import TextEvents
from mmseq.encoders.bag import BagEncoder

SPEC = SimpleNamespace(size=7, unknown=2)


def events(*rows: list[int]) -> TextEvents:
    lengths = torch.tensor([len(row) for row in rows])
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    token = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    return TextEvents(torch.arange(len(rows)), token, starts)


def encoded(encoder: BagEncoder, *rows: list[int]) -> Tensor:
    with torch.no_grad():
        return encoder(events(*rows))


def test_the_mean_of_each_event() -> None:
    encoder = BagEncoder(SPEC, 4, pairs=None)
    table = encoder.table.weight.detach()
    found = encoded(encoder, [1, 1, 5], [], [6])
    torch.testing.assert_close(found[0], (2 * table[1] + table[5]) / 3)
    assert not found[1].any()
    torch.testing.assert_close(found[2], table[6])


@pytest.mark.parametrize("unknown", [2, None])
def test_what_training_never_had_begins_with_zeros(unknown: int | None) -> None:
    encoder = BagEncoder(SimpleNamespace(size=7, unknown=unknown), 4, pairs=None)
    assert bool(encoder.table.weight[2].any()) == (unknown is None)


def test_pairs_of_neighbours_within_an_event() -> None:
    torch.manual_seed(0)
    encoder = BagEncoder(SPEC, 4, pairs=1_000)
    ab, ba = encoded(encoder, [1, 5], [5, 1])
    assert not torch.allclose(ab, ba)
    for rows in ([[1], [5]], [[1, 5], [], [3, 4, 6], [1]]):  # no pair reaches into another event
        alone = torch.cat([encoded(encoder, row) for row in rows])
        torch.testing.assert_close(encoded(encoder, *rows), alone)
    table = encoder.table.weight.detach()
    torch.testing.assert_close(encoded(encoder, [1], [5])[0], table[1])
    pair = ab * 3 - table[1] - table[5]
    assert (table[SPEC.size :] - pair).abs().sum(1).min() < 1e-5
