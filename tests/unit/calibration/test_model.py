"""Which tasks are calibrated at all."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mmseq.calibration.evidence import Choice, Evidence
from mmseq.calibration.model import NoTask, fit_task
from mmseq.heads.config import Horizon
from mmseq.heads.imputation import ImputationConfig
from mmseq.heads.regression import RegressionConfig, RegressionHead, RegressionSpec

Told = Callable[..., Evidence]


def test_labels_that_are_made_of_the_inputs_are_left_out(told: Told) -> None:
    """Of the same answers, a regression by a table is calibrated, an imputation or a horizon is not.

    Caught: heads alone looked at, which are alike.
    """
    head = RegressionHead(RegressionSpec(columns=["x"], mean=[0.0], std=[1.0]), 1)
    evidence = told(head, torch.zeros(40, 1), torch.arange(40.0)[:, None])
    ahead = Horizon(modality="v", feature="x", horizon="2s")
    by_table = RegressionConfig(kind="regression", table="y", column="y")
    fitted, measures = fit_task(by_table, evidence, Choice())
    assert not isinstance(fitted, NoTask) and measures
    for config in (
        ImputationConfig(kind="imputation", modality="v"),
        RegressionConfig(kind="regression", target=ahead),
    ):
        fitted, measures = fit_task(config, evidence, Choice())
        assert isinstance(fitted, NoTask) and not measures
        assert fitted.reason.startswith("not calibrated: its labels are made of the inputs")
