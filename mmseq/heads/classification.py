"""One class of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from mmseq.batch import Target
from mmseq.heads import ColumnConfig, Encoded, Head, Labels, Spec, heads
from mmseq.heads.certainty import PredictsOneClass
from mmseq.heads.drawing import draw_class
from mmseq.heads.labels import OTHERWISE, natural_order
from mmseq.heads.long_tail import GROUPS, ClassWeights, Weighting, class_weights, focal_factor, groups_of
from mmseq.heads.metrics import Accuracy, Average, MacroF1, MacroRecall, WeightedF1, rankings
from mmseq.random import Draws
from mmseq.sources import Reading


class ClassificationConfig(ClassWeights, ColumnConfig):
    kind: Literal["classification"]
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of the target's probability that is spread over all classes"
    )
    focal: float = Field(0.0, ge=0, description="γ of the focal loss: how fast easy labels lose weight")
    adjust: float = Field(
        0.0, ge=0, description="τ of logit adjustment: 1 learns to rank classes as if all were as common"
    )


class ClassSpec(Spec):
    """The classes of the training split; a class's index is its place here.

    Attributes:
        classes: their names; of two, the last is the positive one.
        counts: how many labels of each there are.
    """

    classes: list[str]
    counts: list[int]


@heads.register(ClassificationConfig)
class ClassificationHead(PredictsOneClass, Head):
    """Softmax cross-entropy; of two classes, one logit and binary cross-entropy.

    With smoothing ε the target is (1 − ε)·onehot(y) + ε/classes (Szegedy et al. 2016, "Rethinking the
    Inception architecture", section 7). `weights` and `focal`: see `mmseq.heads.long_tail`; the focal factor
    multiplies the whole of it. With `adjust` τ the loss takes the logits z + τ·log π, π being the classes'
    shares in the training split, and predictions take z: with τ = 1 they minimise the error averaged over
    classes (Menon et al. 2021, "Long-tail learning via logit adjustment", equation 10).

    Metrics: `accuracy`, `f1_macro`, `f1_weighted` (each class by how often it is true), `auroc` and `auprc`
    (each class against the rest, and their mean over classes that occur; of two classes, the positive one;
    of more than 64 classes, neither), `nll` (mean −log p of the true class). Where one class of three or
    more has ten times the labels of another, also `recall_head`, `recall_middle` and `recall_tail`: mean
    recall of the most common third of the classes, and so on.
    """

    Spec = ClassSpec

    def __init__(
        self,
        spec: ClassSpec,
        hidden: int,
        *,
        label_smoothing: float = 0.0,
        focal: float = 0.0,
        adjust: float = 0.0,
        weights: Weighting = "none",
        beta: float = 0.999,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.label_smoothing, self.focal, self.adjust = label_smoothing, focal, adjust
        self.groups = groups_of(spec.counts) if max(spec.counts) >= 10 * min(spec.counts) else {}
        of_class = None
        if weights != "none":
            found = class_weights(np.array(spec.counts, np.float64), weights, beta)
            of_class = torch.tensor(found, dtype=torch.get_default_dtype())
        self.register_buffer("of_class", of_class, persistent=False)
        self._names = np.array(spec.classes, dtype=object)
        self.is_binary = len(spec.classes) == 2
        self._lookup: tuple[tuple[str, ...], np.ndarray] | None = None
        # One label more than was seen: a class that never occurred is rare, not impossible.
        share = torch.tensor(spec.counts, dtype=torch.float64) + 1
        self.register_buffer("prior", (share / share.sum()).to(torch.get_default_dtype()), persistent=False)
        self.linear = nn.Linear(hidden, 1 if self.is_binary else len(spec.classes))
        with torch.no_grad():
            self.linear.bias.copy_((1 - adjust) * self._logits(self.prior[None])[0])

    prior: Tensor
    of_class: Tensor | None

    @classmethod
    def reading(cls, config: ClassificationConfig) -> Reading:
        return Reading(config.table, config.time, codes=(config.column,))

    @classmethod
    def fit(cls, config: ClassificationConfig, facts: Labels) -> ClassSpec:
        found = np.bincount(facts.code[facts.code >= 0], minlength=len(facts.vocabulary))
        counts = {name: int(n) for name, n in zip(facts.vocabulary, found, strict=True) if n}
        if len(counts) < 2:
            seen = f"only {next(iter(counts))!r}" if counts else "no label"
            raise facts.error(f"needs at least two classes in the training split; it has {seen}; {OTHERWISE}")
        classes = natural_order(counts)
        return ClassSpec(classes=classes, counts=[counts[name] for name in classes])

    def encode(self, labels: Labels) -> Encoded:
        row = np.flatnonzero(labels.code >= 0)
        value = self._classes(labels.vocabulary)[labels.code[row]]
        if (value < 0).any():
            unknown = natural_order({labels.vocabulary[c] for c in labels.code[row][value < 0]})
            raise labels.refuse(
                f"{_list(unknown)} has a label here but none in the training split, which has "
                f"{_list(self.spec.classes)}; split otherwise, or drop or merge the class",
                int(row[(value < 0).argmax()]),
            )
        return Encoded(row, value)

    def _classes(self, vocabulary: tuple[str, ...]) -> np.ndarray:
        """Code of the store → index of the class, -1 where it is none; kept for the batches to come."""
        if self._lookup is None or self._lookup[0] != vocabulary:
            index = {name: i for i, name in enumerate(self.spec.classes)}
            self._lookup = (vocabulary, np.array([index.get(name, -1) for name in vocabulary], np.int64))
        return self._lookup[1]

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def loss(self, parameters: Float[Tensor, "label parameter"], target: Target) -> Float[Tensor, "label"]:
        if self.adjust:
            parameters = parameters + self.adjust * self._logits(self.prior[None].to(parameters))
        loss = self._cross_entropy(parameters, target.value, self.label_smoothing)
        if self.focal:
            plain = self._cross_entropy(parameters, target.value, 0.0) if self.label_smoothing else loss
            loss = loss * focal_factor(plain, self.focal)
        return loss

    def _cross_entropy(
        self, parameters: Float[Tensor, "label parameter"], value: Tensor, smoothing: float
    ) -> Float[Tensor, "label"]:
        if not self.is_binary:
            return F.cross_entropy(parameters, value, reduction="none", label_smoothing=smoothing)
        smooth = value.to(parameters.dtype) * (1 - smoothing) + smoothing / 2
        return F.binary_cross_entropy_with_logits(parameters[:, 0], smooth, reduction="none")

    def weights(self, target: Target) -> Float[Tensor, "label"]:
        weight = super().weights(target)
        return weight if self.of_class is None else weight * self.of_class[target.value].to(weight)

    def log_probability(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query class"]:
        """log p of each class."""
        if self.is_binary:
            return F.logsigmoid(torch.cat([-parameters, parameters], 1))
        return parameters.log_softmax(1)

    def probability(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query class"]:
        """p of each class."""
        if self.is_binary:
            return torch.cat([-parameters, parameters], 1).sigmoid()
        return parameters.softmax(1)

    def from_log_classes(
        self, log_p: Float[Tensor, "query column class"]
    ) -> Float[Tensor, "query parameter"]:
        return log_p[:, 0, 1:] - log_p[:, 0, :1] if self.is_binary else log_p[:, 0]

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        probability = self.probability(parameters).cpu().numpy()
        columns = {f"p_{name}": probability[:, c] for c, name in enumerate(self.spec.classes)}
        return {"": self._names[probability.argmax(1)], **columns}

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
        """The classes' shares in the training split; half of it on the last value where there is one."""
        probability = self.prior.expand(len(target), -1)
        if target.previous is not None:
            previous = target.previous[:, 0]
            last = F.one_hot(previous.nan_to_num(0).long(), len(self.spec.classes)).to(probability)
            mixed = (probability + last) / 2
            probability = torch.where(previous.isnan()[:, None], probability, mixed)
        return self._logits(probability)

    def _logits(self, probability: Float[Tensor, "label class"]) -> Float[Tensor, "label parameter"]:
        """The logits of given probabilities."""
        return probability[:, 1:].logit() if self.is_binary else probability.log()

    def _log_odds(self, parameters: Float[Tensor, "label parameter"]) -> Float[Tensor, "label ranked"]:
        """log p − log(1 − p) of each class that is ranked, which differ where probabilities are both 1.

        Of the most probable class 1 − p is the sum of the others: a difference would round to 0.
        """
        if self.is_binary:
            return parameters
        log_p = parameters.double().log_softmax(1)
        top = log_p.argmax(1, keepdim=True)
        others = log_p.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
        return log_p - (-log_p.exp()).log1p().scatter(1, top, others)

    def metrics(self) -> dict[str, Metric]:
        ranked = 1 if self.is_binary else len(self.spec.classes)
        return {
            "accuracy": Accuracy(),
            "f1_macro": MacroF1(len(self.spec.classes)),
            "f1_weighted": WeightedF1(len(self.spec.classes)),
            **rankings(ranked),
            "nll": Average(),
            **{f"recall_{name}": MacroRecall(len(group)) for name, group in self.groups.items()},
        }

    @classmethod
    def metric_names(cls, config: ClassificationConfig) -> tuple[str, ...]:
        groups = (f"recall_{name}" for name in GROUPS)
        return "accuracy", "f1_macro", "f1_weighted", "auroc", "auprc", "nll", *groups

    def score(
        self, metrics: Mapping[str, Metric], parameters: Float[Tensor, "label parameter"], target: Target
    ) -> None:
        log_p = self.log_probability(parameters)
        truth = F.one_hot(target.value, len(self.spec.classes)).bool()
        answer = log_p.argmax(1)
        predicted = F.one_hot(answer, len(self.spec.classes)).bool()
        odds = self._log_odds(parameters)
        ranked = slice(1, None) if self.is_binary else slice(None)
        metrics["accuracy"].update(answer == target.value)
        for name in ("f1_macro", "f1_weighted"):
            metrics[name].update(predicted, truth)
        for name in metrics.keys() & {"auroc", "auprc"}:
            metrics[name].update(odds, truth[:, ranked])
        metrics["nll"].update(-log_p.gather(1, target.value[:, None]))
        for name, group in self.groups.items():
            metrics[f"recall_{name}"].update(predicted[:, group], truth[:, group])


def _list(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
