from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads.contrast import Compared, Contrast
from mmseq.random import Draws


def _contrast(negatives: int = 3, width: int = 2) -> Contrast:
    torch.manual_seed(0)
    return Contrast(4, width, negatives=negatives, temperature=0.5).double()


def _target(n: int, negatives: int) -> Target:
    where = torch.arange(n)
    other = torch.ones(n, negatives, dtype=torch.bool)
    return Target(where, torch.zeros_like(where), other=other)


def _compared(generator: torch.Generator, negatives: int = 3, width: int = 2) -> Compared:
    own = torch.randn(4, width, generator=generator, dtype=torch.float64)
    drawn = torch.randn(3, negatives, width, generator=generator, dtype=torch.float64)
    sample = torch.tensor([2, 0, 0, 2, 0])  # one has no label, and they come in any order
    return Compared(own, drawn, torch.tensor([3, 0, 1, 1, 2]), sample)


def test_loss_is_info_nce() -> None:
    """Of each label by itself, against the formula."""
    head, generator = _contrast(), torch.Generator().manual_seed(1)
    among = _compared(generator)
    hidden = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    target = _target(5, 3)
    assert target.other is not None
    target.other[1, 2] = False
    loss = head.loss(head(hidden, among), target)
    for i in range(5):
        query = head.query(hidden[i])
        keys = [among.own[among.positive[i]], *among.drawn[among.sample[i]]]
        likeness = [torch.cosine_similarity(query, key, dim=0) / 0.5 for key in keys]
        kept = [s for s, is_other in zip(likeness[1:], target.other[i], strict=True) if is_other]
        total = torch.stack([likeness[0], *kept]).exp().sum()
        torch.testing.assert_close(loss[i], -(likeness[0].exp() / total).log(), rtol=1e-4, atol=1e-4)


def test_chance_is_the_baseline() -> None:
    """Also of a label of whose draws some are its own next event, and of scores that are all alike."""
    head, target = _contrast(), _target(6, 3)
    assert target.other is not None
    baseline = head.baseline(target)
    torch.testing.assert_close(head.loss(baseline, target), torch.full((6,), math.log(4)))
    metrics = head.metrics()
    head.score(metrics, baseline, target)
    assert float(metrics["accuracy"].compute()) == 0.25 and metrics["accuracy"].higher_is_better
    target.other[0] = torch.tensor([True, False, False])
    assert float(head.loss(baseline, target)[0]) == pytest.approx(math.log(2))


def test_right_is_what_scores_highest() -> None:
    head, target = _contrast(), _target(4, 3)
    assert target.other is not None
    target.other[2, 0] = False  # its best draw is the next event itself
    scores = torch.tensor([[2.0, 1, 0, 0], [1, 2, 0, 0], [1, 2, 0, 0], [1, 1 + 1e-6, 0, 0]])
    metrics = head.metrics()
    head.score(metrics, scores, target)
    assert float(metrics["accuracy"].compute()) == pytest.approx((1 + 0 + 1 + 0.5) / 4)


def test_a_draw_of_the_next_event_itself_gets_no_gradient() -> None:
    head, generator = _contrast(), torch.Generator().manual_seed(1)
    among = _compared(generator)
    drawn = among.drawn.clone().requires_grad_()
    target = _target(5, 3)
    assert target.other is not None
    target.other[[1, 2, 4], 1] = False  # the labels of sample 0
    hidden = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    head.loss_sum(head(hidden, replace(among, drawn=drawn)), target).backward()
    assert drawn.grad is not None
    assert not drawn.grad[0, 1].any() and not drawn.grad[1].any()
    assert drawn.grad[0, [0, 2]].all() and drawn.grad[2].all()


def test_events_that_are_encoded_as_zeros_have_a_gradient() -> None:
    head, generator = _contrast(), torch.Generator().manual_seed(1)
    among = _compared(generator)
    own, drawn = torch.zeros_like(among.own).requires_grad_(), torch.zeros_like(among.drawn)
    hidden = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    scores = head(hidden, replace(among, own=own, drawn=drawn))
    assert not scores.any()
    head.loss_sum(scores, _target(5, 3)).backward()
    assert own.grad is not None and own.grad.isfinite().all()
    assert 0 < float(own.grad.abs().max()) < 1e4


def test_scores_of_half_precision_are_those_of_single() -> None:
    head, generator = _contrast(negatives=16, width=32).float(), torch.Generator().manual_seed(1)
    among = _compared(generator, 16, 32)
    among = replace(among, own=among.own.bfloat16(), drawn=among.drawn.bfloat16())
    hidden = torch.randn(5, 4, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        scores = head(hidden, among)
    assert scores.dtype == torch.float32
    exact = head(hidden, replace(among, own=among.own.float(), drawn=among.drawn.float()))
    torch.testing.assert_close(scores, exact, rtol=0, atol=0.02)  # the query alone is rounded


def test_without_candidates_it_says_nothing() -> None:
    head = _contrast()
    parameters = head(torch.zeros(3, 4, dtype=torch.float64))
    assert parameters.shape == (3, 0) and head.decode(parameters) == {}
    with pytest.raises(ConfigError, match="predicts no distribution that a value could be drawn from"):
        head.sample(parameters, Draws(torch.arange(3)))
