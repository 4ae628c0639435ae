"""Metrics of heads, on torchmetrics: exact over any batches and processes, NaN where nothing was observed.

Sums are kept in float64. Columns of which only one class was observed have no ranking and are left
out of its mean.
"""

from mmseq.heads.metrics.average import Average, Credit, Rmse, Share
from mmseq.heads.metrics.confusion import Accuracy, MacroF1, MacroRecall, WeightedF1
from mmseq.heads.metrics.explained import R2
from mmseq.heads.metrics.kappa import Kappa
from mmseq.heads.metrics.ranking import MacroAuprc, MacroAuroc, rankings
from mmseq.heads.metrics.survival import Brier, Concordance

__all__ = [
    "R2",
    "Accuracy",
    "Average",
    "Brier",
    "Concordance",
    "Credit",
    "Kappa",
    "MacroAuprc",
    "MacroAuroc",
    "MacroF1",
    "MacroRecall",
    "Rmse",
    "Share",
    "WeightedF1",
    "rankings",
]
