from __future__ import annotations

import pytest
import torch

from mmseq.batch import Timeline
from mmseq.readouts.max import MaxReadout

HIDDEN = torch.tensor([[-5.0, 1.0], [-2.0, 0.0], [-3.0, 1.0], [-7.0, 2.0]])
TIMELINE = Timeline(torch.tensor([0, 3, 3, 4]), torch.zeros(4), torch.zeros(4), continues=True)


def test_maxima_of_prefixes_below_zero() -> None:
    read, _ = MaxReadout(2)(HIDDEN, TIMELINE, None, torch.arange(4))
    assert read.tolist() == [[-5, 1], [-2, 1], [-2, 1], [-7, 2]]
    read, state = MaxReadout(2)(HIDDEN, TIMELINE)
    assert read.tolist() == [[-2, 1], [0, 0], [-7, 2]]
    assert state["count"].tolist() == [[3], [0], [1]]


@pytest.mark.parametrize("at", [None, torch.tensor([2, 3])])
def test_gradient_goes_to_the_latest_of_equals(at: torch.Tensor | None) -> None:
    hidden = HIDDEN.clone().requires_grad_()
    MaxReadout(2)(hidden, TIMELINE, None, at)[0].sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize("at", [None, torch.tensor([2])])
def test_nan_is_not_hidden(at: torch.Tensor | None) -> None:
    hidden = HIDDEN.clone()
    hidden[1, 0] = torch.nan
    read, _ = MaxReadout(2)(hidden, TIMELINE, None, at)
    assert read[0, 0].isnan() and read[0, 1] == 1
