"""Calibrated classes: probabilities that agree with how often they come true, and sets of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from pydantic import FiniteFloat
from torch import Tensor

from mmseq.calibration.affine import Affine, fit_affine
from mmseq.calibration.conformal import threshold
from mmseq.calibration.evidence import Change, Choice, Evidence, Measures, crossed_thresholds, others
from mmseq.calibration.measures import by_unit, calibration_error, likeliest, negative_log_likelihood
from mmseq.calibration.task import Column, ColumnLabels, TaskCalibration
from mmseq.heads.certainty import PredictsClasses
from mmseq.heads.labels import join


class ClassColumn(Column):
    """What was fitted of one column.

    Attributes:
        affine: what sets probabilities right.
        bound: the largest −log p of a class that is in the set; None: there are no sets.
    """

    affine: Affine
    bound: FiniteFloat | None

    @property
    def is_empty(self) -> bool:
        return self.bound is None and self.affine.is_identity


class ClassTask(TaskCalibration):
    """The calibration of a head that `PredictsClasses`.

    Of each column, probabilities go through an `Affine`; a set holds the classes whose −log p, then, is not
    above a threshold on the scores −log p of the true classes, and always the most probable one.

    Source: Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error
    levels" (arXiv 1609.00451), whose score is 1 − p, in the same order.
    """

    kind: Literal["classes"] = "classes"
    columns: list[ClassColumn]

    @staticmethod
    def names(head: Any) -> list[str]:
        return list(head.choices())

    @staticmethod
    def labels(evidence: Evidence, choice: Choice) -> list[ClassLabels]:
        head = evidence.head
        log_p, truth = head.log_classes(evidence.parameters.double()), head.true_classes(evidence.target)
        found = []
        for c in range(log_p.shape[1]):
            rows = evidence.observed(c)
            own = torch.from_numpy(rows)
            found.append(ClassLabels(log_p[own, c], truth[own, c], evidence.unit[rows], evidence.folds(rows)))
        return found

    def fits(self, head: Any) -> bool:
        if not isinstance(head, PredictsClasses):
            return False
        names = [*head.choices().values()]
        return len(names) == len(self.columns) and all(
            column.affine.fits(len(own)) for column, own in zip(self.columns, names, strict=True)
        )

    def apply(self, head: Any, parameters: Tensor, coverage: float) -> tuple[Tensor, dict[str, np.ndarray]]:
        """Calibrated parameters, and `set_<class>` of each class: whether it is in the set."""
        log_p = head.log_classes(parameters.double())
        own = [column.affine(log_p[:, c]) for c, column in enumerate(self.columns)]
        told: dict[str, np.ndarray] = {}
        for column, mapped, (name, classes) in zip(self.columns, own, head.choices().items(), strict=True):
            if column.bound is not None:
                sets = in_sets(mapped, mapped.new_tensor(column.bound)).numpy()
                told |= {join(name, f"set_{known}"): sets[:, k] for k, known in enumerate(classes)}
        return head.from_log_classes(torch.stack(own, 1)).to(parameters.dtype), told


@dataclass(frozen=True)
class ClassLabels(ColumnLabels):
    """The observed labels of one column, and what was said of them.

    Attributes:
        log_p: of each class.
        truth: the class that came.
        unit: what each belongs to.
        fold: the part of the labels that it is in.
    """

    log_p: Float64[Tensor, "label class"]
    truth: Int64[Tensor, "label"]
    unit: Int64[np.ndarray, "label"]
    fold: Int64[np.ndarray, "label"]

    def fit(self, choice: Choice) -> tuple[ClassColumn, Measures]:
        after = self.crossed_log_p(choice.method)
        scores = -after.gather(1, self.truth[:, None])[:, 0].numpy()
        lack = choice.lack(self.unit)
        column = ClassColumn(
            affine=fit_affine(self.log_p, self.truth, choice.method),
            bound=threshold(scores, self.unit, choice.coverage),
            remark=f"no sets: {lack}" if lack else "",
        )
        bounds = crossed_thresholds(scores, self.unit, self.fold, choice.coverage)
        return column, self.measures(after, bounds, choice.coverage)

    def judge(self, column: ClassColumn, choice: Choice) -> Measures:
        bounds = None if column.bound is None else np.full(len(self.unit), column.bound)
        return self.measures(column.affine(self.log_p), bounds, choice.coverage)

    def crossed_log_p(self, method: str) -> Float64[Tensor, "label class"]:
        """Each label's by a map that was fitted to the other parts: what a new one would get."""
        found = self.log_p.clone()
        for here, there in others(self.fold):
            found[here] = fit_affine(self.log_p[there], self.truth[there], method)(self.log_p[here])
        return found

    def measures(
        self, after: Float64[Tensor, "label class"], bounds: np.ndarray | None, coverage: float
    ) -> Measures:
        """Before and after.

        Args:
            after: calibrated log p.
            bounds: of the sets of each label; None: there are none.
            coverage: that is asked for.
        """
        sets = [likeliest(self.log_p, coverage)]
        sets += [] if bounds is None else [in_sets(after, torch.from_numpy(bounds)[:, None])]
        right = [own.gather(1, self.truth[:, None])[:, 0].double() for own in sets]
        both = (self.log_p, after)
        return {
            "ece": Change(*(calibration_error(log_p, self.truth) for log_p in both)),
            "nll": Change(*(negative_log_likelihood(log_p, self.truth) for log_p in both)),
            "coverage": Change(*(by_unit(own, self.unit) for own in right)),
            "set size": Change(*(by_unit(own.sum(1).double(), self.unit) for own in sets)),
        }


def in_sets(
    log_p: Float64[Tensor, "query class"], bound: Float64[Tensor, "..."]
) -> Bool[Tensor, "query class"]:
    """The classes whose −log p is not above a bound, and the most probable one."""
    return (-log_p <= bound).scatter(1, log_p.argmax(1, keepdim=True), True)
