"""One class of several that have an order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnConfig, Encoded, Head, Labels, Spec, heads
from mmseq.heads.certainty import PredictsOneClass
from mmseq.heads.drawing import draw_class
from mmseq.heads.labels import natural_order
from mmseq.heads.metrics import Accuracy, Average, Kappa
from mmseq.heads.numbers import inverse_softplus
from mmseq.random import Draws
from mmseq.sources import Reading
from mmseq.words import word_of


class OrdinalConfig(ColumnConfig):
    kind: Literal["ordinal"]
    order: list[str | int] | None = Field(
        None, min_length=3, description="the classes from the least on; null: numbers by size, then words"
    )


class OrdinalSpec(Spec):
    """The classes in order; a class's rank is its place here, from 0.

    Attributes:
        classes: their names.
        counts: how many labels of the training split each has.
    """

    classes: list[str]
    counts: list[int]


@heads.register(OrdinalConfig)
class OrdinalHead(PredictsOneClass, Head):
    """Proportional odds: logit P(y ≤ k) = θ_k − w·h, with cutpoints θ that rise by softplus(s) each.

    A query moves along one line, which the cutpoints divide into classes; they cannot change places. The
    loss is −log p of the true class, p_k = P(y ≤ k) − P(y ≤ k − 1). Parameters are the first logit, and s.

    Source: McCullagh 1980, "Regression models for ordinal data", section 2.

    A prediction is the median class, the first with P(y ≤ k) ≥ ½, and each class's probability. Metrics:
    `accuracy`, `mae` (in ranks), `kappa` (quadratic weights; of the median class), `nll`, and `crps`, in
    ranks: Σ_k (P(y ≤ k) − 1{truth ≤ k})², also known as the ranked probability score.
    """

    Spec = OrdinalSpec

    def __init__(self, spec: OrdinalSpec, hidden: int, *, order: list[str | int] | None = None) -> None:
        super().__init__()
        self.spec = spec
        self._names = np.array(spec.classes, dtype=object)
        # One label more than was seen: a class that never occurred is rare, not impossible.
        share = torch.tensor(spec.counts, dtype=torch.float64) + 1
        up_to = (share.cumsum(0) / share.sum())[:-1].logit()
        start = torch.cat([up_to[:1], inverse_softplus(up_to.diff())]).to(torch.get_default_dtype())
        self.register_buffer("start", start, persistent=False)
        self.linear = nn.Linear(hidden, 1)
        self.gaps = nn.Parameter(start[1:].clone())
        with torch.no_grad():
            self.linear.bias.copy_(start[:1])

    start: Tensor

    @classmethod
    def reading(cls, config: OrdinalConfig) -> Reading:
        return Reading(config.table, config.time, codes=(config.column,))

    @classmethod
    def fit(cls, config: OrdinalConfig, facts: Labels) -> OrdinalSpec:
        found = np.bincount(facts.code[facts.code >= 0], minlength=len(facts.vocabulary))
        counts = {name: int(n) for name, n in zip(facts.vocabulary, found, strict=True) if n}
        if not counts:
            raise facts.lacking()
        classes = natural_order(counts) if config.order is None else [str(word_of(c)) for c in config.order]
        if len(classes) < 3:
            raise facts.error(
                f"an order needs at least three classes; the training split has {_list(classes)}; name all "
                "of them as `order`, or use kind: classification"
            )
        _check_order(facts, classes)
        return OrdinalSpec(classes=classes, counts=[counts.get(name, 0) for name in classes])

    def encode(self, labels: Labels) -> Encoded:
        _check_order(labels, self.spec.classes)
        rank = {name: i for i, name in enumerate(self.spec.classes)}
        lookup = np.array([rank.get(name, -1) for name in labels.vocabulary], np.int64)
        row = np.flatnonzero(labels.code >= 0)
        return Encoded(row, lookup[labels.code[row]])

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        first = self.linear(hidden)
        return torch.cat([first, self.gaps.to(first.dtype).expand(len(first), -1)], 1)

    def cumulative(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query cut"]:
        """logit P(y ≤ k) of all classes but the last."""
        return torch.cat([parameters[:, :1], F.softplus(parameters[:, 1:])], 1).cumsum(1)

    def log_probability(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query class"]:
        """log p of each class.

        Of a class between two cuts a < b, σ(b) − σ(a) = σ(b)·σ(−a)·(1 − exp(a − b)), which loses no digits.
        """
        logit, gap = self.cumulative(parameters), F.softplus(parameters[:, 1:])
        below, above = F.logsigmoid(logit), F.logsigmoid(-logit)
        # Beyond float's smallest number softplus is 0, whose logarithm has no gradient.
        between = (-(-gap.clamp(min=torch.finfo(gap.dtype).tiny)).expm1()).log()
        return torch.cat([below[:, :1], below[:, 1:] + above[:, :-1] + between, above[:, -1:]], 1)

    def loss(self, parameters: Float[Tensor, "label parameter"], target: Target) -> Float[Tensor, "label"]:
        return -self.log_probability(parameters).gather(1, target.value[:, None])[:, 0]

    def rank(self, parameters: Float[Tensor, "query parameter"]) -> Int64[Tensor, "query"]:
        """The median class: how many of the others are more likely than not below the truth."""
        return (self.cumulative(parameters) < 0).sum(1)

    def from_log_classes(
        self, log_p: Float[Tensor, "query column class"]
    ) -> Float[Tensor, "query parameter"]:
        up_to, above = log_p[:, 0].logcumsumexp(1), log_p[:, 0].flip(1).logcumsumexp(1).flip(1)
        logit = up_to[:, :-1] - above[:, 1:]
        gap = logit.diff(dim=1).clamp(min=torch.finfo(logit.dtype).tiny)
        return torch.cat([logit[:, :1], inverse_softplus(gap)], 1)

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        probability = self.log_probability(parameters).exp().cpu().numpy()
        columns = {f"p_{name}": probability[:, c] for c, name in enumerate(self.spec.classes)}
        return {"": self._names[self.rank(parameters).cpu().numpy()], **columns}

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """One class a query."""
        log_p = self.log_probability(parameters.double())
        drawn = draw_class(log_p, draws.uniform(1), temperature=temperature, top_k=top_k)
        return {"": [self.spec.classes[c] for c in drawn.tolist()]}

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The classes' shares in the training split."""
        return self.start.expand(len(target), -1)

    def metrics(self) -> dict[str, Metric]:
        kappa = Kappa(len(self.spec.classes))
        return {"accuracy": Accuracy(), "mae": Average(), "kappa": kappa, "nll": Average(), "crps": Average()}

    @classmethod
    def metric_names(cls, config: OrdinalConfig) -> tuple[str, ...]:
        return "accuracy", "mae", "kappa", "nll", "crps"

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        rank, truth = self.rank(parameters), target.value
        metrics["accuracy"].update(rank == truth)
        metrics["mae"].update((rank - truth).abs().double()[:, None])
        metrics["kappa"].update(rank, truth)
        metrics["nll"].update(self.loss(parameters, target)[:, None])
        up_to = self.cumulative(parameters).sigmoid()
        is_up_to: Bool[Tensor, "label cut"] = truth[:, None] <= torch.arange(up_to.shape[1])
        metrics["crps"].update((up_to - is_up_to.to(up_to)).square().sum(1, keepdim=True))


def _check_order(labels: Labels, classes: list[str]) -> None:
    """Raises DataError where a label is not among the classes, or a class is named twice."""
    if len(set(classes)) < len(classes):
        raise labels.error(f"order: each class may be named once; got {_list(classes)}")
    known = np.array([name in classes for name in labels.vocabulary], bool)
    row = np.flatnonzero(labels.code >= 0)
    wrong = row[~known[labels.code[row]]] if len(row) else row
    if len(wrong):
        name = labels.vocabulary[labels.code[wrong[0]]]
        raise labels.refuse(
            f"{name!r} is none of the classes in order, which are {_list(classes)}; name all in `order`",
            int(wrong[0]),
        )


def _list(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)
