"""Losses and weights for classes of which some are rare."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import BaseModel, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

Weighting = Literal["none", "balanced", "effective"]

GROUPS = ("head", "middle", "tail")


class ClassWeights(BaseModel):
    """The options of a head that weighs its labels by how rare they are."""

    weights: Weighting = Field(
        "none",
        description="of a label: balanced, one over the count of its class; effective, one over the "
        "effective number of its labels, which grows more slowly than the count",
    )
    beta: float = Field(
        0.999, ge=0, lt=1, description="of effective weights: near 1 they are balanced, at 0 all alike"
    )

    @model_validator(mode="after")
    def _beta_is_used(self) -> ClassWeights:
        if "beta" in self.model_fields_set and self.weights != "effective" and self.beta != 0.999:
            raise ValueError(f"beta: does nothing where weights is {self.weights!r}; leave it out")
        return self


def class_weights(counts: Float[np.ndarray, "class"], weighting: Weighting, beta: float) -> np.ndarray:
    """A weight for the labels of each class, whose mean over the training labels is 1.

    Balanced: w ∝ 1 / n. Effective: w ∝ (1 − β) / (1 − βⁿ), with n labels of the class. A class without any
    has the weight of one with a single label.

    Source: Cui et al. 2019, "Class-balanced loss based on effective number of samples", equation 2.
    """
    counts = np.asarray(counts, np.float64)
    n = np.maximum(counts, 1)
    if weighting == "none":
        return np.ones(len(n))
    raw = 1 / n if weighting == "balanced" else (1 - beta) / -np.expm1(n * np.log(beta)) if beta else n**0
    return np.asarray(raw * counts.sum() / (raw * counts).sum())


def focal(loss: Float[Tensor, "..."], gamma: float) -> Float[Tensor, "..."]:
    """(1 − p)^γ · loss, where p = exp(−loss) is the probability of the truth.

    Source: Lin et al. 2017, "Focal loss for dense object detection", equation 4.
    """
    return loss if gamma == 0 else focal_factor(loss, gamma) * loss


def focal_factor(loss: Float[Tensor, "..."], gamma: float) -> Float[Tensor, "..."]:
    """(1 − p)^γ, with p = exp(−loss)."""
    return _power(-torch.expm1(-loss), gamma)


def asymmetric(
    logits: Float[Tensor, "..."],
    truth: Float[Tensor, "..."],
    *,
    positive: float,
    negative: float,
    margin: float,
) -> Float[Tensor, "..."]:
    """Binary cross-entropy that forgets easy labels, of each answer at its own pace.

    −(1 − p)^γ₊ log p of a true label; −q^γ₋ log(1 − q) of a false one, q = max(p − margin, 0). With
    γ₊ = γ₋ and no margin it is the focal loss.

    Source: Ridnik et al. 2021, "Asymmetric loss for multi-label classification", equations 4 to 7.
    """
    of_true = focal(F.softplus(-logits), positive)
    if margin == 0:
        of_false = focal(F.softplus(logits), negative)
    else:
        q = (logits.sigmoid() - margin).relu()
        of_false = _power(q, negative) * -torch.log1p(-q)
    return torch.where(truth > 0.5, of_true, of_false)


def _power(base: Float[Tensor, "..."], exponent: float) -> Float[Tensor, "..."]:
    """base^exponent; of 0 with a gradient of 0, where x^0.5 would have an infinite one."""
    if exponent == 0:
        return torch.ones_like(base)
    if exponent >= 1:
        return base**exponent
    some = base > 0
    return torch.where(some, torch.where(some, base, 1) ** exponent, 0)


def groups_of(counts: list[int]) -> dict[str, list[int]]:
    """Classes by how common they are: a third each, the head's the most common; none of fewer than three.

    Where thirds are uneven the middle has the rest.
    """
    if len(counts) < 3:
        return {}
    by_count = sorted(range(len(counts)), key=lambda c: (-counts[c], c))
    third = len(counts) // 3
    cuts = (0, third, len(counts) - third, len(counts))
    return {name: by_count[cuts[i] : cuts[i + 1]] for i, name in enumerate(GROUPS)}
