"""What heads say at made-up labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.batch import Target
from mmseq.calibration.evidence import Evidence

Told = Callable[..., Evidence]


@pytest.fixture
def told() -> Told:
    """Parameters and labels of a head, a unit each unless they are given."""

    def make(
        head: Any,
        parameters: Tensor,
        value: Tensor,
        observed: Tensor | None = None,
        unit: np.ndarray | None = None,
    ) -> Evidence:
        unit = np.arange(len(value)) if unit is None else unit
        target = Target(torch.arange(len(value)), value, observed)
        rank = np.random.default_rng(0).permutation(int(unit.max(initial=-1)) + 1)
        return Evidence(head, parameters, target, unit, rank)

    return make
