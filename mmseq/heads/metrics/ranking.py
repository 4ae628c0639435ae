"""How well scores rank the true above the false."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_auroc, binary_average_precision
from torchmetrics.utilities import dim_zero_cat

MOST_COLUMNS = 64


class MacroRanking(Metric):
    """A ranking measure of each column, then the mean over those with both true and false labels.

    Exact: every score is kept, which is why heads rank no more than `MOST_COLUMNS` columns. Scores are any
    numbers that rise with the chance of a true label; of logits, none are alike that are not, where
    probabilities near 1 are.

    Args:
        columns: how many classes or labels there are.
    """

    scores: list[Tensor]
    truth: list[Tensor]

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.columns = columns
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("truth", [], dist_reduce_fx="cat")

    def update(
        self,
        scores: Float[Tensor, "label column"],
        truth: Bool[Tensor, "label column"],
        observed: Bool[Tensor, "label column"] | None = None,
    ) -> None:
        state = truth.to(self.dtype)
        if observed is not None:
            state = torch.where(observed, state, -1)
        # Flat and of one type, so that a process without any label can join in.
        self.scores.append(scores.to(self.dtype).flatten())
        self.truth.append(state.flatten())

    def compute(self) -> Tensor:
        if not len(self.scores):
            return torch.tensor(torch.nan)
        scores = dim_zero_cat(self.scores).view(-1, self.columns)
        truth = dim_zero_cat(self.truth).view(-1, self.columns).long()
        columns = [
            self._column(scores[truth[:, c] >= 0, c], truth[truth[:, c] >= 0, c])
            for c in range(self.columns)
            if (truth[:, c] == 1).any() and (truth[:, c] == 0).any()
        ]
        return torch.stack(columns).mean() if columns else torch.tensor(torch.nan)

    def _column(self, scores: Float[Tensor, "label"], truth: Int64[Tensor, "label"]) -> Tensor:
        """The measure of one column; NaN where a score is, which has no place among the others."""
        if scores.isnan().any():
            return torch.tensor(torch.nan)
        return self.measure(_placed(scores), truth)

    @abstractmethod
    def measure(self, scores: Tensor, truth: Tensor) -> Tensor:
        """The measure of one column."""


def _placed(scores: Float[Tensor, "label"]) -> Float64[Tensor, "label"]:
    """Scores → numbers from 0 to 1 in the same order, of which torchmetrics makes no probabilities."""
    found, place = scores.unique(return_inverse=True)
    return place.double() / len(found)


class MacroAuroc(MacroRanking):
    """Area under the receiver operating characteristic."""

    higher_is_better = True

    def measure(self, scores: Tensor, truth: Tensor) -> Tensor:
        return binary_auroc(scores, truth, validate_args=False)


class MacroAuprc(MacroRanking):
    """Area under the precision–recall curve, as average precision: Σ (R_n − R_{n−1}) P_n."""

    higher_is_better = True

    def measure(self, scores: Tensor, truth: Tensor) -> Tensor:
        return binary_average_precision(scores, truth, validate_args=False)


def rankings(columns: int) -> dict[str, Metric]:
    """`auroc` and `auprc` of so many columns; none where their scores would fill the memory."""
    if columns > MOST_COLUMNS:
        return {}
    return {"auroc": MacroAuroc(columns), "auprc": MacroAuprc(columns)}
