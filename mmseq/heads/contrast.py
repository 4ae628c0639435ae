"""The next event of a modality without a likelihood: told apart from others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import BaseModel
from torch import Tensor, nn
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.batch.padding import pad
from mmseq.heads import Encoded, Head, Labels
from mmseq.heads.metrics import Credit

NEGATIVES, TEMPERATURE = 16, 0.1
_ALIKE = 1e-4  # in scores: that of an event's like differs from its own by rounding
_LEAST = 1e-5  # of a squared length: a vector of zeros has no direction, and must have a gradient


@dataclass(frozen=True)
class Compared:
    """What a label's hidden is compared with, encoded.

    Attributes:
        own: the steps that are some label's next one.
        drawn: those that were drawn for each sample.
        positive: which of `own` is the label's next step.
        sample: whose draws the label is compared with.
    """

    own: Float[Tensor, "own width"]
    drawn: Float[Tensor, "sample negative width"]
    positive: Int64[Tensor, "label"]
    sample: Int64[Tensor, "label"]


class Contrast(Head):
    """A part of `NextStepHead`: which of 1 + K candidates comes next, the first of them being the one.

    With s_0 the score of the next event and s_k those of the others, −log(exp s_0 / Σ_k exp s_k), where
    s = cos(W h + b, z) / temperature of the hidden h and an encoded candidate z.

    Source: van den Oord, Li and Vinyals 2018, "Representation learning with contrastive predictive coding",
    eq. 4 (InfoNCE). The cosine over a temperature, in place of their bilinear hᵀ W z, is that of Wu et al.
    2018, "Unsupervised feature learning via non-parametric instance discrimination", eq. 2: a score cannot
    be made large by the length of an encoding, which the inputs share.

    The baseline is chance. A prediction has no columns: there is nothing to compare with.
    """

    def __init__(self, hidden: int, width: int, *, negatives: int, temperature: float) -> None:
        super().__init__()
        self.negatives, self.temperature = negatives, temperature
        self.query = nn.Linear(hidden, width)

    @classmethod
    def reading(cls, config: Any) -> None:
        """None: the labels are the inputs' own next events."""

    @classmethod
    def fit(cls, config: Any, facts: Any) -> BaseModel:
        """Never called: there is nothing to fit."""
        raise TypeError("Contrast: is a part of next_step, and has no facts of its own")

    def encode(self, labels: Labels) -> Encoded:
        """Never called: the batch makes the targets from the events."""
        raise TypeError("Contrast: its targets come from the inputs, not from labels")

    def forward(
        self, hidden: Float[Tensor, "query hidden"], among: Compared | None = None
    ) -> Float[Tensor, "query candidate"]:
        """The score of each candidate, the next event's first; without any, none."""
        if among is None:
            return hidden.new_zeros(len(hidden), 0)
        query = _direction(self.query(hidden))
        own, drawn = _direction(among.own), _direction(among.drawn)
        with torch.autocast(hidden.device.type, enabled=False):  # scores are differences of near numbers
            first = (query * own.index_select(0, among.positive)).sum(1, keepdim=True)
            others = _by_sample(query, drawn, among.sample)
            return torch.cat([first, others], 1) / self.temperature

    def loss(self, parameters: Float[Tensor, "label candidate"], target: Target) -> Float[Tensor, "label"]:
        scores = _real(parameters, target)
        return scores.logsumexp(1) - scores[:, 0]

    def decode(self, parameters: Float[Tensor, "query candidate"]) -> dict[str, np.ndarray]:
        return {}

    def baseline(self, target: Target) -> Float[Tensor, "label candidate"]:
        return torch.zeros(len(target), 1 + self.negatives)

    def metrics(self) -> dict[str, Metric]:
        return {"accuracy": Credit()}

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label candidate"], target: Target
    ) -> None:
        """Right where the next event scores highest; where others do as well, a share of it."""
        scores = _real(parameters, target)
        best = scores >= scores.max(1, keepdim=True).values - _ALIKE
        metrics["accuracy"].update(best[:, :1] / best.sum(1, keepdim=True))


def _real(parameters: Float[Tensor, "label candidate"], target: Target) -> Float[Tensor, "label candidate"]:
    """Scores without those of draws that are the next event itself."""
    assert target.other is not None
    is_own = torch.cat([torch.zeros_like(target.other[:, :1]), ~target.other], 1)
    return parameters.masked_fill(is_own, -torch.inf)


def _direction(x: Float[Tensor, "... width"]) -> Float[Tensor, "... width"]:
    """Vectors of length 1, in float32 at least."""
    x = x.float() if x.element_size() < 4 else x
    return x * (x.square().sum(-1, keepdim=True) + _LEAST).rsqrt()


def _by_sample(
    query: Float[Tensor, "label width"],
    drawn: Float[Tensor, "sample negative width"],
    sample: Int64[Tensor, "label"],
) -> Float[Tensor, "label negative"]:
    """Products of each label with the draws of its sample: one matrix product a sample."""
    order = sample.argsort(stable=True)
    counts = torch.bincount(sample, minlength=len(drawn))
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    rows, mask = pad(query.index_select(0, order), starts)
    products = torch.bmm(rows, drawn.mT)[mask]
    return torch.empty_like(products).index_copy(0, order, products)
