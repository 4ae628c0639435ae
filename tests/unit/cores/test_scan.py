"""The scan, in all its forms, against a loop over single steps."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.cores.scan import Cut, cut, scan
from mmseq.testing.build import LENGTHS, random_timeline

SHAPES = [LENGTHS, (7,), (1, 1), (2, 2), (13,), (200, 3, 77, 1, 0, 500), (30,) * 5]
either = pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])


def timeline(*lengths: int) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0))


def loop(decay: Tensor, inputs: Tensor, begin: Tensor, ragged: Timeline) -> Tensor:
    outputs, rows = [inputs[:0]], iter(begin)
    for start, end in pairwise(ragged.starts.tolist()):
        h = next(rows) if end > start else begin
        for t in range(start, end):
            h = decay[t] * h + inputs[t]
            outputs.append(h[None])
    return torch.cat(outputs)


def trial(ragged: Timeline, hidden: int, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """Decays from 1e-12 to 1, inputs and states before; and weights of the outputs."""
    generator = torch.Generator().manual_seed(1)
    n, rows = ragged.n_steps, sum(length > 0 for length in ragged.lengths_list)
    decay, inputs, begin, loss = (
        torch.randn(size, hidden, dtype=dtype, generator=generator) for size in (n, n, rows, n)
    )
    decay = decay / decay.abs() * torch.rand(n, hidden, dtype=torch.float64, generator=generator) ** 0.1
    decay[::5] *= 1e-12
    return [decay.requires_grad_(), inputs.requires_grad_(), begin.requires_grad_()], loss


def assert_close(got: Tensor, want: Tensor, tolerance: float) -> None:
    assert got.shape == want.shape
    if len(want):
        assert float((got - want).detach().abs().max()) <= tolerance * float(want.detach().abs().max())


@either
@pytest.mark.parametrize("lengths", SHAPES)
def test_values_and_gradients(lengths: tuple[int, ...], dtype: torch.dtype) -> None:
    ragged = timeline(*lengths)
    given, loss = trial(ragged, 3, dtype)
    outputs, expected = scan(*given, cut(ragged, 3)), loop(*given, ragged)
    assert_close(outputs, expected, 1e-13)
    for got, want in zip(
        torch.autograd.grad(outputs, given, loss), torch.autograd.grad(expected, given, loss), strict=True
    ):
        assert_close(got, want, 1e-13)


@pytest.mark.parametrize(("real", "single"), [(True, torch.float32), (False, torch.complex64)])
@pytest.mark.parametrize("lengths", [(400, 3, 77, 1, 0, 900), (500, 500)])
def test_single_precision(lengths: tuple[int, ...], real: bool, single: torch.dtype) -> None:
    ragged = timeline(*lengths)
    given, loss = trial(ragged, 4, torch.float64 if real else torch.complex128)
    rough = [x.detach().to(single).requires_grad_() for x in given]
    exact = [x.detach().to(given[0].dtype).requires_grad_() for x in rough]
    outputs, expected = scan(*rough, cut(ragged, 4)), loop(*exact, ragged)
    assert_close(outputs, expected, 1e-6)
    got = torch.autograd.grad(outputs, rough, loss.to(single))
    want = torch.autograd.grad(expected, exact, loss.to(single).to(loss.dtype))
    for mine, theirs in zip(got, want, strict=True):
        assert_close(mine, theirs, 1e-6)


@either
def test_samples_as_blocks_agree_with_two_levels(dtype: torch.dtype) -> None:
    ragged = timeline(*[9] * 4)
    given, loss = trial(ragged, 5, dtype)
    joined = cut(ragged, 5)
    apart = Cut(9, False, joined.running, joined.first, joined.last)
    assert joined.joined and joined.length not in (1, 9)
    results = []
    for where in (joined, apart):
        outputs = scan(*given, where)
        results.append([outputs, *torch.autograd.grad(outputs, given, loss)])
    for mine, other in zip(*results, strict=True):
        assert_close(mine, other, 1e-13)


@pytest.mark.parametrize("length", range(1, 12))
def test_any_length_of_block(length: int) -> None:
    ragged = timeline(4, 1, 0, 6)
    given, loss = trial(ragged, 2, torch.float64)
    where = cut(ragged, 2)
    outputs = scan(*given, Cut(length, True, where.running, where.first, where.last))
    expected = loop(*given, ragged)
    assert_close(outputs, expected, 1e-13)
    for got, want in zip(
        torch.autograd.grad(outputs, given, loss), torch.autograd.grad(expected, given, loss), strict=True
    ):
        assert_close(got, want, 1e-13)


@either
def test_no_state_before_is_zero(dtype: torch.dtype) -> None:
    ragged = timeline(*LENGTHS)
    (decay, inputs, begin), loss = trial(ragged, 3, dtype)
    where = cut(ragged, 3)
    results = []
    for before in (None, torch.zeros_like(begin)):
        outputs = scan(decay, inputs, before, where)
        results.append([outputs, *torch.autograd.grad(outputs, (decay, inputs), loss)])
    for mine, other in zip(*results, strict=True):
        assert torch.equal(mine, other)


def test_no_steps() -> None:
    given, loss = trial(timeline(0, 0), 3, torch.float64)
    outputs = scan(*given, cut(timeline(0, 0), 3))
    outputs.backward(loss)
    assert outputs.shape == (0, 3) and all(x.grad is not None for x in given)


def test_inputs_are_left_as_they_are() -> None:
    ragged = timeline(*LENGTHS)
    given, loss = trial(ragged, 3, torch.float64)
    before = [x.detach().clone() for x in given]
    scan(*given, cut(ragged, 3)).backward(loss)
    assert all(torch.equal(x, old) for x, old in zip(given, before, strict=True))


def test_form_follows_the_shape() -> None:
    wide = cut(timeline(50, 50), 2048)
    assert (wide.length, wide.joined) == (50, False), "a row of samples fills a kernel"
    assert cut(timeline(50, 50), 2047).joined
    assert cut(timeline(50, 49), 4096).joined
    assert not cut(timeline(1, 0, 1), 8).joined, "single steps need no scan"
    assert cut(timeline(300), 8).length == 10


def test_cut_is_computed_once_and_leaves_out_samples_without_a_step() -> None:
    ragged = timeline(2, 0, 3)
    where = cut(ragged, 4)
    assert where is cut(ragged, 4)
    assert [part.tolist() for part in (where.running, where.first, where.last)] == [[0, 2], [0, 2], [1, 4]]
