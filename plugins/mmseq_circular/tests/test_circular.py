"""The contracts, and that nothing happens where a circle closes."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseq.batch import Target
from mmseq.config.load import load_config
from mmseq.modalities import modalities
from mmseq.testing import check_kind

for module in ("modality", "head"):  # registers the kinds where the package is not installed
    importlib.import_module(f"mmseq_circular.{module}")

from mmseq_circular.head import VonMisesHead, VonMisesSpec  # noqa: E402
from mmseq_circular.modality import CircularSpec  # noqa: E402

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("period", [360.0, 24.0])
def test_contract_of_the_modality(period: float) -> None:
    check_kind("modalities", "circular", period=period)


@pytest.mark.parametrize("period", [360.0, 24.0])
def test_contract_of_the_head(period: float) -> None:
    check_kind("heads", "von_mises", period=period)


def test_the_likelihood_integrates_to_one() -> None:
    head = VonMisesHead(VonMisesSpec(columns=["hour"], start=[0.0, 0.0], period=24.0), 1).double()
    hours = torch.linspace(0, 24, 2001, dtype=torch.float64)[:-1, None]
    parameters = torch.tensor([[1.5, -2.0]], dtype=torch.float64).expand(len(hours), 2)
    density = (-head.loss(parameters, Target(torch.arange(len(hours)), hours))).exp()
    assert float(density.mean()) * 2 * np.pi == pytest.approx(1, abs=1e-9)


def test_midnight_is_no_edge() -> None:
    config = modalities.parse({"kind": "circular", "table": "t", "column": "hour", "period": 24.0})
    facts = {"columns": ["cos", "sin"], "read": ["hour"], "period": 24.0}
    modality = modalities.build(config, CircularSpec(**facts, cos=0.0, sin=0.0, spread=1.0))
    events = modality.parse(torch.tensor([0, 0]), [23.99, 0.01])
    before, after = modality(events, None)[0].values
    assert float((before - after).norm()) == pytest.approx(2 * np.pi * 0.02 / 24, rel=1e-3)


def test_the_example_loads() -> None:
    assert load_config(PROJECT / "example.yaml").name == "wind"
