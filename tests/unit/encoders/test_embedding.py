"""The sum over an event's columns of a vector per code."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmseq.batch import CategoryEvents
from mmseq.encoders.embedding import EmbeddingEncoder

SPEC = SimpleNamespace(vocabularies=[["x", "y", "z"], ["u", "v"]])


@pytest.fixture
def encoder() -> EmbeddingEncoder:
    torch.manual_seed(0)
    return EmbeddingEncoder(SPEC, 4)


def encode(encoder: EmbeddingEncoder, *codes: list[int]) -> torch.Tensor:
    return encoder(CategoryEvents(torch.arange(len(codes)), torch.tensor(codes)))


def test_sum_of_the_columns_vectors(encoder: EmbeddingEncoder) -> None:
    table = encoder.table.weight
    assert table.shape == (5 + 4, 4)
    found = encode(encoder, [2, 3], [4, 2])
    torch.testing.assert_close(found, torch.stack([table[2] + table[5 + 3], table[4] + table[5 + 2]]))


def test_missing_adds_nothing_and_unknown_starts_so(encoder: EmbeddingEncoder) -> None:
    found = encode(encoder, [0, 3], [1, 3], [0, 0])
    assert torch.equal(found[0], encoder.table.weight[5 + 3])
    assert torch.equal(found[1], found[0])
    assert not found[2].any()


def test_unknown_learns_and_missing_does_not(encoder: EmbeddingEncoder) -> None:
    encode(encoder, [0, 1], [1, 0]).sum().backward()
    gradient = encoder.table.weight.grad
    assert gradient is not None
    assert gradient.sum(1).tolist() == [0, 4, 0, 0, 0, 0, 4, 0, 0]


def test_spread_does_not_grow_with_the_columns() -> None:
    torch.manual_seed(0)
    wide = EmbeddingEncoder(SimpleNamespace(vocabularies=[["w"] * 500] * 4), 64)
    codes = torch.randint(2, 502, (1000, 4))
    assert float(wide(CategoryEvents(torch.arange(1000), codes)).detach().std()) == pytest.approx(1, abs=0.05)
