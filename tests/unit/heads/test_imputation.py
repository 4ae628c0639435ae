"""The loss, the metrics and the baselines of missing numbers, by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mmseq.batch import Target
from mmseq.errors import ConfigError
from mmseq.heads import Labels, Upcoming, heads
from mmseq.heads.imputation import ImputationConfig, ImputationHead, ImputationSpec
from mmseq.inference.evaluator import Evaluator, values_of

SPEC: dict[str, Any] = {"columns": ["hr", "bp"], "mean": [60.0, 5.0], "std": [10.0, 0.5]}


def build(loss: Any = "squared", low: Any = None, high: Any = None) -> ImputationHead:
    return ImputationHead(ImputationSpec(**SPEC, low=low, high=high), 3, loss=loss).double()


def target(previous: bool = False) -> Target:
    """Three cells of four: of the third row, only the second feature was hidden."""
    return Target(
        torch.arange(2),
        torch.tensor([[70.0, 6.0], [0.0, 4.5]], dtype=torch.float64),
        torch.tensor([[True, True], [False, True]]),
        previous=torch.tensor([[50.0, math.nan], [61.0, 5.5]], dtype=torch.float64) if previous else None,
    )


PARAMETERS = torch.tensor([[0.5, 1.0], [9.0, -3.0]], dtype=torch.float64)  # z of the truth: 1, 2, –, −1


def test_loss_is_of_standardised_hidden_cells() -> None:
    assert float(build().loss_sum(PARAMETERS, target())) == pytest.approx(0.5**2 + 1**2 + 2**2)
    assert float(build("absolute").loss_sum(PARAMETERS, target())) == pytest.approx(0.5 + 1 + 2)
    gaussian = torch.cat([PARAMETERS, torch.zeros(2, 2, dtype=torch.float64)], 1)
    expected = (0.5**2 + 1**2 + 2**2) / 2 + 3 * math.log(2 * math.pi) / 2
    assert float(build("gaussian").loss_sum(gaussian, target())) == pytest.approx(expected)


def test_what_is_learned_is_clipped_as_inputs_are_and_what_is_scored_is_not() -> None:
    """Caught: the loss of the value as it is."""
    head = build(low=[0.0, 4.0], high=[65.0, 9.0])  # 70 is learned as 65, which is 0.5
    assert float(head.loss_sum(PARAMETERS, target())) == pytest.approx(0 + 1**2 + 2**2)
    assert values_of(head, PARAMETERS, target())["mae.hr"] == pytest.approx(5)


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "gaussian"])
def test_gradient_is_of_hidden_cells_alone(loss: str) -> None:
    """Caught: `observed` left out of the target."""
    parameters = PARAMETERS.repeat(1, 2 if loss == "gaussian" else 1).requires_grad_()
    build(loss).loss_sum(parameters, target()).backward()
    assert parameters.grad is not None
    assert torch.equal(parameters.grad[:, :2] != 0, torch.tensor([[True, True], [False, True]]))


def test_metrics_by_hand() -> None:
    found = values_of(build(), PARAMETERS, target())
    assert found["mae.hr"] == found["rmse.hr"] == pytest.approx(5)
    assert found["mae.bp"] == pytest.approx((0.5 + 1) / 2)
    assert found["rmse.bp"] == pytest.approx(math.sqrt((0.25 + 1) / 2))
    assert found["nmae"] == pytest.approx((0.5 + 1 + 2) / 3)
    assert found["nrmse"] == pytest.approx(math.sqrt((0.25 + 1 + 4) / 3))


def test_baselines_are_the_last_value_and_the_mean() -> None:
    """Caught: the mean's with `previous` left in."""
    evaluator = Evaluator({"fill": build()})
    evaluator.update({"fill": PARAMETERS}, {"fill": target(previous=True)})
    report = evaluator.compute()["fill"]
    assert report["baseline"]["nmae"] == pytest.approx((2 + 2 + 2) / 3)  # 50, the mean 5.0, 5.5
    assert report["baseline"]["mae.hr"] == pytest.approx(20)
    assert report["mean"]["nmae"] == pytest.approx((1 + 2 + 1) / 3)
    assert report["mean"]["mae.bp"] == pytest.approx((1 + 0.5) / 2)


def test_predictions_are_in_the_units_of_the_features() -> None:
    told = build().decode(PARAMETERS)
    assert told["hr"].tolist() == [65, 150] and told["bp"].tolist() == [5.5, 3.5]


def test_labels_are_never_read() -> None:
    config = heads.parse({"kind": "imputation", "modality": "m"})
    assert isinstance(config, ImputationConfig) and ImputationHead.reading(config) is None
    assert config.by_step and not config.looks_ahead and config.told_by == "m"
    with pytest.raises(TypeError, match="its targets come from the inputs"):
        build().encode(Labels(("y",), np.zeros((1, 1)), np.zeros(0)))


def test_a_modality_without_a_scale_is_told() -> None:
    config = heads.parse({"kind": "imputation", "modality": "m"})
    with pytest.raises(ConfigError, match="modality 'm' must have a mean and a spread"):
        ImputationHead.fit(config, Upcoming(SimpleNamespace(spec=None), np.zeros(0)))
