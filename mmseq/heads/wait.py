"""How long it is until the next event: what is fitted, the head that learns it, draws of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import Head, heads
from mmseq.heads.drawing import draw_above
from mmseq.heads.gaussians import spread_out
from mmseq.heads.mixture import MixtureHead
from mmseq.heads.numbers import moments
from mmseq.heads.regression import RegressionHead
from mmseq.random import Draws

WAIT = "wait"


def fit_waits(waits: Float[np.ndarray, "wait"], components: int) -> dict[str, Any]:
    """Facts of log(1 + wait): mean and deviation, and where a mixture starts from."""
    seen = np.log1p(np.asarray(waits, np.float64))
    mean, std = moments(seen) if len(seen) else (0.0, 1.0)
    facts: dict[str, Any] = {"wait_mean": mean, "wait_std": std}
    if components == 1:
        return facts
    flat = [0.0] * components, [1.0] * components
    centres, widths = spread_out((seen - mean) / std, components) if len(seen) else flat
    return {**facts, "wait_centres": centres, "wait_widths": widths}


def build_wait(
    hidden: int, *, mean: float, std: float, centres: list[float], widths: list[float], components: int
) -> Head:
    """A Gaussian of log(1 + wait), or a mixture of several."""
    spec: dict[str, Any] = {"columns": [WAIT], "mean": [mean], "std": [std]}
    if components == 1:
        return build_part("regression", spec, hidden, loss="gaussian", transform="log1p")
    spec |= {"centres": [centres], "widths": [widths]}
    return build_part("mixture", spec, hidden, components=components, transform="log1p")


def build_part(kind: str, spec: dict[str, Any], hidden: int, **options: Any) -> Head:
    """A head of a next-step head."""
    head_class = heads.component_class(kind)
    return head_class(head_class.Spec.model_validate(spec), hidden, **options)


def wait_target(target: Target) -> Target:
    """The waits of a next-step target as numbers."""
    if target.wait is None:
        raise ValueError("next_step with time: the target has no wait")
    return Target(target.where, target.wait[:, None], weight=target.weight)


def draw_wait(
    head: Head,
    parameters: Float[Tensor, "query parameter"],
    draws: Draws,
    elapsed: Float64[Tensor, "query"],
    *,
    temperature: float = 1.0,
) -> Float64[Tensor, "query"]:
    """A wait from a head of `build_wait`, given that nothing came for some time: at least that time."""
    above = elapsed.log1p()
    if isinstance(head, MixtureHead):
        drawn = head.distribution(parameters).draw_above(above, draws, temperature=temperature)
    else:
        assert isinstance(head, RegressionHead)
        mean, scale = head.gaussian(parameters)
        drawn = draw_above(mean[:, 0], temperature * scale[:, 0], above, draws.uniform(1)[:, 0])
    return drawn.expm1().maximum(elapsed)
