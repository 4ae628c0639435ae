"""Probabilities of classes, set right by a scale and a bias."""

from __future__ import annotations

import torch
from jaxtyping import Float64, Int64
from pydantic import FiniteFloat
from torch import Tensor
from torch.nn import functional as F

from mmseq.heads import Spec

METHODS = ("temperature", "vector")

_STEPS = 200


class Affine(Spec):
    """log p → log softmax(scale · log p + bias).

    Attributes:
        scale: of each class, above 0; or one for all.
        bias: of each class; or one for all, 0.
    """

    scale: list[FiniteFloat]
    bias: list[FiniteFloat]

    def __call__(self, log_p: Float64[Tensor, "query class"]) -> Float64[Tensor, "query class"]:
        return (log_p * log_p.new_tensor(self.scale) + log_p.new_tensor(self.bias)).log_softmax(1)

    @property
    def is_identity(self) -> bool:
        """Whether it leaves probabilities as they are."""
        return set(self.scale) == {1.0} and len(set(self.bias)) == 1

    def fits(self, n_classes: int) -> bool:
        """Whether it is one of so many classes."""
        known = (1, n_classes)
        return len(self.scale) in known and len(self.bias) in known and min(self.scale) > 0


def fit_affine(log_p: Float64[Tensor, "label class"], truth: Int64[Tensor, "label"], method: str) -> Affine:
    """The map with the least Σ −log p of the true classes.

    `temperature` T has the one scale 1/T, and no bias: it keeps the order of the classes. `vector` has a
    scale and a bias a class, on log-probabilities, which unlike logits are not free by a constant; of two
    classes one scale, which is Platt scaling.

    Source: Guo et al. 2017, "On calibration of modern neural networks" (arXiv 1706.04599), section 4.2; Platt
    1999, "Probabilistic outputs for support vector machines".

    ½·(Σ log² scale + Σ bias²) is added to the sum, as if each came from a standard normal distribution. That
    keeps the map finite where labels can be told apart without an error, or a class has none, and little
    where labels are few.

    Args:
        log_p: of each class, finite.
        truth: the classes that came.
        method: how much of a map is fitted.
    """
    n_classes = log_p.shape[1]
    n_scales = 1 if method == "temperature" or n_classes == 2 else n_classes
    n_biases = n_classes if method == "vector" else 0
    with torch.inference_mode(False), torch.enable_grad():
        found = _least(log_p.clone(), truth.clone(), n_scales, n_biases)
    return Affine(
        scale=found[:n_scales].exp().tolist(), bias=found[n_scales:].tolist() if n_biases else [0.0]
    )


def _least(log_p: Tensor, truth: Tensor, n_scales: int, n_biases: int) -> Float64[Tensor, "free"]:
    """Logarithms of scales, and biases, of least cost, from those that change nothing."""
    free = torch.zeros(n_scales + n_biases, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [free], max_iter=_STEPS, tolerance_grad=1e-7, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def cost() -> Tensor:
        optimizer.zero_grad()
        logits = log_p * free[:n_scales].exp() + (free[n_scales:] if n_biases else 0)
        loss = F.cross_entropy(logits, truth, reduction="sum") + free.square().sum() / 2
        loss = loss / max(len(truth), 1)
        loss.backward()
        return loss

    optimizer.step(cost)
    return free.detach()
