"""Discrete-time hazards: exposure of labels to bins, survival, and times read off it.

Bin j is (t_{j−1}, t_j], with t_0 = 0; the first one holds 0, too. H = −log(1 − h) is its cumulative hazard,
and log S falls evenly within it.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

Ends = Float64[Tensor, "bin"]


def snapped(duration: Float[Tensor, "label"], ends: Ends) -> Float64[Tensor, "label"]:
    """Durations in float64; one that is a bin's end in its own precision is that end."""
    same = ends.to(duration.dtype)
    near = torch.searchsorted(same, duration.contiguous()).clamp(max=len(ends) - 1)
    return torch.where(same[near] == duration, ends[near], duration.double())


def starts_of(ends: Ends) -> Ends:
    return torch.cat([ends.new_zeros(1), ends[:-1]])


def exposure(
    duration: Float64[Tensor, "label"], event: Bool[Tensor, "label"], ends: Ends
) -> tuple[Float64[Tensor, "label bin"], Bool[Tensor, "label bin"]]:
    """How much of each bin a label has lived through, and the bin of its event.

    A censored label has lived through a part of its last bin; one with an event through all of its bin. What
    comes after the last bin's end is not told: such an event is as good as censored at that end.
    """
    start = starts_of(ends)
    lived = ((duration[:, None] - start) / (ends - start)).clamp(0, 1)
    own = torch.searchsorted(ends, duration)[:, None] == torch.arange(len(ends), device=ends.device)
    failed = own & event[:, None]
    return torch.where(failed, 1, lived), failed


def log_survival(hazard: Float[Tensor, "query bin"]) -> Float[Tensor, "query bin"]:
    """log S at the bins' ends, from the cumulative hazard of each bin."""
    return -hazard.cumsum(1)


def mean_time(hazard: Float64[Tensor, "query bin"], ends: Ends) -> Float64[Tensor, "query"]:
    """∫ S(t) dt up to the last end: the mean of min(T, last end).

    Within a bin S falls exponentially, which makes S_{j−1} · (t_j − t_{j−1}) · (1 − e^{−H}) / H.
    """
    at_start = torch.cat([torch.zeros_like(hazard[:, :1]), log_survival(hazard)[:, :-1]], 1).exp()
    some = hazard > torch.finfo(hazard.dtype).tiny
    share = torch.where(some, -(-hazard).expm1() / torch.where(some, hazard, 1), 1)
    return (at_start * share * (ends - starts_of(ends))).sum(1)


def median_time(hazard: Float64[Tensor, "query bin"], ends: Ends) -> Float64[Tensor, "query"]:
    """When S falls to one half; the last end where it does not get there."""
    up_to = hazard.cumsum(1)
    own = (up_to < math.log(2)).sum(1)
    at = own.clamp(max=len(ends) - 1)
    row = torch.arange(len(at), device=at.device)
    missing = math.log(2) - (up_to[row, at] - hazard[row, at])
    start = starts_of(ends)[at]
    inside = start + (ends[at] - start) * (missing / hazard[row, at]).clamp(0, 1)
    return torch.where(own < len(ends), inside, ends[-1])
