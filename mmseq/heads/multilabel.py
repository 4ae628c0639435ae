"""Several yes-or-no labels at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, Head, Labels, Spec, heads
from mmseq.heads.certainty import PredictsClasses
from mmseq.heads.drawing import draw_set
from mmseq.heads.long_tail import GROUPS, ClassWeights, Weighting, asymmetric, class_weights, groups_of
from mmseq.heads.metrics import Accuracy, Average, MacroF1, rankings
from mmseq.random import Draws


class MultilabelConfig(ClassWeights, ColumnsConfig):
    kind: Literal["multilabel"]
    focal: float = Field(0.0, ge=0, description="γ of the focal loss: how fast easy labels lose weight")
    focal_negative: float | None = Field(
        None, ge=0, description="γ of false labels alone, as of the asymmetric loss; null: as `focal`"
    )
    margin: float = Field(
        0.0, ge=0, lt=1, description="a false label of lower probability than this costs nothing"
    )


class MultilabelSpec(Spec):
    """The labels, and how often each is true.

    Attributes:
        columns: names of the labels.
        rates: share of the training split's labels that are 1.
        counts: of each, how many labels are 0 and 1; None where nobody counted.
    """

    columns: list[str]
    rates: list[float]
    counts: list[tuple[int, int]] | None = None


@heads.register(MultilabelConfig)
class MultilabelHead(PredictsClasses, Head):
    """One logit and binary cross-entropy a label, each masked where it is missing.

    `focal`, `focal_negative` and `margin` make it the focal or the asymmetric loss, `weights` weighs both
    answers of a label by how rare each is: see `mmseq.heads.long_tail`.

    Metrics: `f1_macro` (mean over labels of the F1 of "yes" at p ≥ 0.5), `accuracy` (of all cells),
    `auroc` and `auprc` (mean over labels of which both answers occur; of more than 64 labels,
    neither), `nll` (mean −log p a cell), `joint_nll` (−log p of all observed labels of a row together,
    which is their sum; mean over rows). Where one label of three or more is true ten times as often
    as another, also `f1_head`, `f1_middle` and `f1_tail`: of the third of the labels that is true most
    often, and so on.
    """

    Spec = MultilabelSpec

    def __init__(
        self,
        spec: MultilabelSpec,
        hidden: int,
        *,
        focal: float = 0.0,
        focal_negative: float | None = None,
        margin: float = 0.0,
        weights: Weighting = "none",
        beta: float = 0.999,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.focal, self.margin = focal, margin
        self.focal_negative = focal if focal_negative is None else focal_negative
        true = [yes for _, yes in spec.counts or []]
        self.groups = groups_of(true) if true and max(true) >= 10 * min(true) else {}
        of_answer = None
        if weights != "none" and spec.counts is not None:
            found = [class_weights(np.array(pair, np.float64), weights, beta) for pair in spec.counts]
            of_answer = torch.tensor(np.stack(found), dtype=torch.get_default_dtype())
        self.register_buffer("of_answer", of_answer, persistent=False)
        # What never occurred is rare, not impossible: its logit must be finite.
        rates = torch.tensor(spec.rates, dtype=torch.float64).clamp(1e-5, 1 - 1e-5)
        self.register_buffer("rates", rates.to(torch.get_default_dtype()), persistent=False)
        self.linear = nn.Linear(hidden, len(spec.columns))
        with torch.no_grad():
            self.linear.bias.copy_(rates.logit())

    rates: Tensor
    of_answer: Tensor | None

    @classmethod
    def fit(cls, config: ColumnsConfig, facts: Labels) -> MultilabelSpec:
        cls.check(facts)
        counts = (~np.isnan(facts.values)).sum(0)
        for name, count in zip(facts.columns, counts, strict=True):
            if count == 0:
                raise facts.lacking(name)
        # Laplace's rule of succession keeps the rate off 0 and 1.
        rates = (np.nansum(facts.values, 0) + 1) / (counts + 2)
        true = np.nansum(facts.values, 0).astype(int)
        pairs = list(zip((counts - true).tolist(), true.tolist(), strict=True))
        return MultilabelSpec(columns=list(facts.columns), rates=rates.tolist(), counts=pairs)

    @classmethod
    def check(cls, labels: Labels) -> None:
        """Raises DataError for what is neither 0 nor 1."""
        wrong = ~np.isnan(labels.values) & (labels.values != 0) & (labels.values != 1)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            problem = f"labels must be 0 or 1, or missing; got {labels.values[row, column]:g}; correct it"
            raise labels.refuse(problem, int(row), int(column))

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        truth = target.value.to(parameters.dtype)
        if not (self.focal or self.focal_negative or self.margin):
            return F.binary_cross_entropy_with_logits(parameters, truth, reduction="none")
        return asymmetric(
            parameters, truth, positive=self.focal, negative=self.focal_negative, margin=self.margin
        )

    def weights(self, target: Target) -> Float[Tensor, "label column"]:
        weight = super().weights(target)
        if self.of_answer is None:
            return weight
        no, yes = self.of_answer.to(weight).T
        return weight * torch.where(target.value > 0.5, yes, no)

    def choices(self) -> dict[str, list[str]]:
        return {name: ["0", "1"] for name in self.spec.columns}

    def log_classes(
        self, parameters: Float[Tensor, "query parameter"]
    ) -> Float[Tensor, "query column class"]:
        return F.logsigmoid(torch.stack([-parameters, parameters], 2))

    def from_log_classes(
        self, log_p: Float[Tensor, "query column class"]
    ) -> Float[Tensor, "query parameter"]:
        return log_p[:, :, 1] - log_p[:, :, 0]

    def true_classes(self, target: Target) -> Int64[Tensor, "label column"]:
        return (target.value > 0.5).long()

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        probability = parameters.sigmoid().cpu().numpy()
        return {name: probability[:, c] for c, name in enumerate(self.spec.columns)}

    def sample(
        self,
        parameters: Float[Tensor, "query parameter"],
        draws: Draws,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> dict[str, list[Any]]:
        """The labels that are true, a list a query, never empty: each is drawn alone, given that one is true.

        The temperature divides the logits; at 0 those above 0 are true, or the one that is most probable.
        """
        columns = self.spec.columns
        uniform = draws.uniform(len(columns) + 1)
        drawn = draw_set(parameters.double(), uniform, temperature=temperature, top_k=top_k)
        return {"": [[columns[c] for c in row.nonzero()[:, 0].tolist()] for row in drawn]}

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """The labels' rates in the training split; half of it on the last value where there is one."""
        rates = self.rates.expand(len(target), -1)
        if target.previous is not None:
            mixed = (rates + target.previous.to(rates)) / 2
            rates = torch.where(mixed.isnan(), rates, mixed)
        return rates.logit()

    def metrics(self) -> dict[str, Metric]:
        n_labels = len(self.spec.columns)
        return {
            "f1_macro": MacroF1(n_labels),
            "accuracy": Accuracy(),
            **rankings(n_labels),
            "nll": Average(n_labels),
            "joint_nll": Average(),
            **{f"f1_{name}": MacroF1(len(group)) for name, group in self.groups.items()},
        }

    @classmethod
    def metric_names(cls, config: ColumnsConfig) -> tuple[str, ...]:
        return (
            "f1_macro",
            "accuracy",
            "auroc",
            "auprc",
            "nll",
            "joint_nll",
            *(f"f1_{name}" for name in GROUPS),
        )

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        probability, truth = parameters.sigmoid(), target.value > 0.5
        predicted = probability >= 0.5
        metrics["f1_macro"].update(predicted, truth, target.observed)
        metrics["accuracy"].update(predicted == truth, target.observed)
        for name in metrics.keys() & {"auroc", "auprc"}:
            metrics[name].update(parameters, truth, target.observed)
        for name, group in self.groups.items():
            observed = None if target.observed is None else target.observed[:, group]
            metrics[f"f1_{name}"].update(predicted[:, group], truth[:, group], observed)
        loss = F.binary_cross_entropy_with_logits(parameters, truth.to(parameters), reduction="none")
        metrics["nll"].update(loss, target.observed)
        together = loss if target.observed is None else torch.where(target.observed, loss, 0)
        metrics["joint_nll"].update(together.sum(1, keepdim=True))
