from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from mmseq.heads.drawing import draw_above, draw_class, draw_set
from mmseq.random import Draws

N = 40_000


def _uniform(width: int) -> Tensor:
    return Draws(torch.arange(N)).uniform(width)


def _shares(drawn: Tensor, n: int) -> Tensor:
    return torch.bincount(drawn, minlength=n) / N


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_classes_come_as_often_as_they_are_probable(temperature: float) -> None:
    p = torch.tensor([0.1, 0.0, 0.6, 0.3], dtype=torch.float64)
    drawn = draw_class(p.log().expand(N, -1), _uniform(1), temperature=temperature)
    sharpened = p ** (1 / temperature)
    torch.testing.assert_close(
        _shares(drawn, 4).double(), sharpened / sharpened.sum(), atol=4 * 0.5 / N**0.5, rtol=0
    )


def test_only_the_most_probable_classes_are_drawn() -> None:
    p = torch.tensor([0.1, 0.2, 0.4, 0.3], dtype=torch.float64)
    shares = _shares(draw_class(p.log().expand(N, -1), _uniform(1), top_k=2), 4)
    assert shares[0] == shares[1] == 0
    assert abs(float(shares[2]) - 4 / 7) < 4 * 0.5 / N**0.5
    assert _shares(draw_class(p.log().expand(N, -1), _uniform(1), top_k=1), 4)[2] == 1
    whole = draw_class(p.log().expand(N, -1), _uniform(1))
    assert torch.equal(draw_class(p.log().expand(N, -1), _uniform(1), top_k=9), whole)


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-3])
def test_no_temperature_takes_the_mode(temperature: float) -> None:
    log_p = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.35, 0.25]], dtype=torch.float64).log()
    drawn = draw_class(log_p, torch.tensor([[0.999], [0.999]]).double(), temperature=temperature)
    assert drawn.tolist() == [1, 0]


def test_sets_are_independent_labels_given_one_is_true() -> None:
    """Against every set counted out."""
    logits = torch.tensor([-1.0, 0.5, -2.0], dtype=torch.float64)
    p = logits.sigmoid()
    drawn = draw_set(logits.expand(N, -1), _uniform(4))
    assert bool(drawn.any(1).all())
    some = 1 - float((1 - p).prod())
    for members in itertools.product((False, True), repeat=3):
        if any(members):
            chosen = torch.tensor(members)
            expected = float(torch.where(chosen, p, 1 - p).prod()) / some
            share = float((drawn == chosen).all(1).double().mean())
            assert share == pytest.approx(expected, abs=4 * 0.5 / N**0.5), members


def test_sets_with_no_temperature_and_with_few_labels() -> None:
    logits = torch.tensor([[-3.0, -1.0, -2.0], [1.0, -1.0, 2.0]], dtype=torch.float64)
    uniform = torch.full((2, 4), 0.5, dtype=torch.float64)
    mode = [[False, True, False], [True, False, True]]
    assert draw_set(logits, uniform, temperature=0.0).tolist() == mode
    assert draw_set(logits, uniform, temperature=1e-300).tolist() == mode
    most = [[False, True, False], [False, False, True]]
    for temperature in (0.0, 1.0, 5.0):
        assert draw_set(logits, uniform, temperature=temperature, top_k=1).tolist() == most


def test_a_number_above_a_bound_has_the_truncated_distribution() -> None:
    mean, scale, bound = torch.tensor([[0.3, 5.0, -4.0], [2.0, 0.5, 1.0], [1.0, -9.0, -1.0]]).double()
    for u in (0.01, 0.5, 0.99):
        drawn = draw_above(mean, scale, bound, torch.full((3,), u, dtype=torch.float64))
        tail = torch.special.ndtr((mean - drawn) / scale) / torch.special.ndtr((mean - bound) / scale)
        torch.testing.assert_close(tail, torch.full_like(tail, u), atol=1e-10, rtol=0)
        assert bool((drawn > bound).all())


def test_a_number_without_spread_is_the_mean_or_the_bound() -> None:
    mean, bound = torch.tensor([[1.0, -9.0, 2.0], [0.0, 3.0, 2.0]]).double()
    drawn = draw_above(mean, torch.zeros(3).double(), bound, torch.full((3,), 0.9).double())
    assert drawn.tolist() == [1.0, 3.0, 2.0]
    far = draw_above(mean, torch.ones(3).double(), bound + 1e6, torch.full((3,), 0.9).double())
    assert bool((far >= bound + 1e6).all()) and bool(far.isfinite().all())
    assert math.isfinite(float(far.sum()))


@pytest.mark.parametrize("bound", [6.0, 8.0, 12.0, 30.0])
def test_a_number_far_above_its_mean_has_the_tail_s_distribution(bound: float) -> None:
    """Of what lies above z, the quantile q lies at Q⁻¹((1 − q)·Q(z))."""
    uniform = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    zero = torch.zeros_like(uniform)
    drawn = draw_above(zero, zero + 1, zero + bound, uniform)
    tail = torch.special.log_ndtr(-drawn) - torch.special.log_ndtr(-(zero + bound))
    assert tail.exp().tolist() == pytest.approx(uniform.tolist(), rel=1e-9)
