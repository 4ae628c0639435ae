"""Values of a distribution from uniform numbers: a class, a set of labels, a number above a bound."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.nn import functional as F

_LARGEST = 1e100  # a logit beyond it is as certain, and its sums are still finite


def draw_class(
    log_p: Float64[Tensor, "query class"],
    uniform: Float64[Tensor, "query 1"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Int64[Tensor, "query"]:
    """The class at which the cumulative probability passes `uniform`.

    Args:
        log_p: of each class, up to a constant.
        uniform: in (0, 1).
        temperature: p^(1 / temperature) is what is drawn from; 0 takes the most probable class.
        top_k: draw from so many classes, the most probable ones; None: from all.
    """
    log_p = _only(log_p, top_k)
    if temperature == 0:
        return log_p.argmax(1)
    up_to = ((log_p - log_p.max(1, keepdim=True).values) / temperature).exp().cumsum(1)
    return (up_to / up_to[:, -1:] <= uniform).sum(1)


def draw_set(
    logits: Float64[Tensor, "query label"],
    uniform: Float64[Tensor, "query _"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Bool[Tensor, "query label"]:
    """Independent labels, given that at least one is true.

    The first true label is i with a probability in proportion to p_i · ∏_{j<i} (1 − p_j); the labels
    after it are true with their own p.

    Args:
        logits: of each label, at least one.
        uniform: in (0, 1), one more than there are labels.
        temperature: divides the logits; at 0 those above 0 are true, or else the largest.
        top_k: only so many labels, the most probable ones, can be true; None: all.
    """
    index = torch.arange(logits.shape[1])
    if temperature == 0:
        logits = _only(logits, top_k)
        return (logits > 0) | (index == logits.argmax(1)[:, None])
    logits = _only((logits / temperature).clamp(-_LARGEST, _LARGEST), top_k)
    none_up_to = F.logsigmoid(-logits).cumsum(1)
    none_before = F.pad(none_up_to[:, :-1], (1, 0))
    first = draw_class(F.logsigmoid(logits) + none_before, uniform[:, :1])[:, None]
    return (index == first) | ((index > first) & (uniform[:, 1:] < logits.sigmoid()))


def draw_above(
    mean: Float64[Tensor, "query"],
    scale: Float64[Tensor, "query"],
    bound: Float64[Tensor, "query"],
    uniform: Float64[Tensor, "query"],
) -> Float64[Tensor, "query"]:
    """A Gaussian number, given that it is not below a bound; with a scale of 0, the mean or the bound.

    With z = (bound − mean) / scale and the upper tail Q, it is mean + scale · Q⁻¹(uniform · Q(z)).
    """
    spread = scale.clamp(min=torch.finfo(scale.dtype).tiny)
    tail = normal_cdf((mean - bound) / spread)
    drawn = mean - scale * torch.special.ndtri((uniform * tail).clamp(min=torch.finfo(scale.dtype).tiny))
    return drawn.maximum(bound)


def normal_cdf(x: Float64[Tensor, "..."]) -> Float64[Tensor, "..."]:
    """P(N(0, 1) ≤ x), with all its digits far below 0, where torch's own `ndtr` has none from −8 on."""
    return torch.special.erfc(-x / math.sqrt(2)) / 2


def _only(scores: Float64[Tensor, "query class"], top_k: int | None) -> Float64[Tensor, "query class"]:
    """−∞ for all but the k largest."""
    if top_k is None or top_k >= scores.shape[1]:
        return scores
    kept = torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.topk(top_k, 1).indices, True)
    return scores.masked_fill(~kept, -torch.inf)
