"""Hidden layers with GELU, then a linear map."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmseq.batch import NumericEvents
from mmseq.encoders.linear import features
from mmseq.encoders.mlp import MlpEncoder

SPEC = SimpleNamespace(columns=["a", "b"])


@pytest.mark.parametrize("layers", [1, 3])
def test_formula(layers: int) -> None:
    torch.manual_seed(0)
    encoder = MlpEncoder(SPEC, 5, hidden=7, layers=layers)
    events = NumericEvents(torch.arange(4), torch.randn(4, 2), torch.rand(4, 2) < 0.5, torch.randn(4, 2))
    linears = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    assert [tuple(linear.weight.shape) for linear in linears] == [(7, 6), *[(7, 7)] * (layers - 1), (5, 7)]
    x = features(events)
    for linear in linears[:-1]:
        x = F.gelu(x @ linear.weight.T + linear.bias)
    torch.testing.assert_close(encoder(events), x @ linears[-1].weight.T + linears[-1].bias)
