"""Ragged to padded and back."""

from __future__ import annotations

import pytest
import torch

from mmseq.batch import pad, unpad


@pytest.mark.parametrize("lengths", [(2, 0, 3), (1,), (0, 0), ()])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_there_and_back(lengths: tuple[int, ...], shape: tuple[int, ...]) -> None:
    starts = torch.tensor([0, *lengths]).cumsum(0)
    steps = torch.randn(int(starts[-1]), *shape)
    values, mask = pad(steps, starts)
    assert values.shape == (len(lengths), max(lengths, default=0), *shape)
    assert mask.sum(1).tolist() == list(lengths)
    again, bounds = unpad(values, mask)
    assert torch.equal(again, steps) and torch.equal(bounds, starts)


def test_padding_is_zero_and_stands_at_the_end() -> None:
    values, mask = pad(torch.tensor([1, 2, 3]), torch.tensor([0, 1, 3]))
    assert values.tolist() == [[1, 0], [2, 3]]
    assert mask.tolist() == [[True, False], [True, True]]


def test_gradients_pass() -> None:
    steps = torch.randn(3, 2, requires_grad=True)
    values, mask = pad(steps, torch.tensor([0, 1, 3]))
    (values[mask] * torch.arange(6.0).reshape(3, 2)).sum().backward()
    assert steps.grad is not None and steps.grad.flatten().tolist() == [0, 1, 2, 3, 4, 5]
