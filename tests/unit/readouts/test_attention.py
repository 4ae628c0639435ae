from __future__ import annotations

import pytest
import torch

from mmseq.batch import Timeline
from mmseq.readouts.attention import AttentionReadout


def _readout(scale: float = 1.0) -> AttentionReadout:
    torch.manual_seed(0)
    readout = AttentionReadout(4).double()
    with torch.no_grad():
        readout.query.weight *= scale
    return readout


def _by_hand(readout: AttentionReadout, hidden: torch.Tensor) -> torch.Tensor:
    key = (hidden @ readout.key.weight.T + readout.key.bias).tanh()
    return (key @ readout.query.weight[0]).softmax(0) @ hidden


@pytest.mark.parametrize("scale", [1.0, 3000.0])
def test_softmax_over_each_prefix(scale: float) -> None:
    readout = _readout(scale)
    hidden = torch.randn(7, 4, dtype=torch.float64)
    timeline = Timeline(torch.tensor([0, 6, 7]), torch.zeros(7), torch.zeros(7))
    expected = torch.stack([_by_hand(readout, hidden[: i + 1]) for i in range(6)])
    read, _ = readout(hidden, timeline, None, torch.arange(7))
    torch.testing.assert_close(read, torch.cat([expected, hidden[6:]]), rtol=0, atol=1e-12)
    read, _ = readout(hidden, timeline)
    torch.testing.assert_close(read, torch.stack([expected[5], hidden[6]]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("ask", [True, False])
def test_gradients(ask: bool) -> None:
    readout = _readout()
    timeline = Timeline(torch.tensor([0, 5, 5, 7]), torch.zeros(7), torch.zeros(7))
    hidden = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    at = torch.tensor([1, 4, 6]) if ask else None

    def read(hidden: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(readout, {"query.weight": query}, (hidden, timeline, None, at))[0]

    assert torch.autograd.gradcheck(read, (hidden, readout.query.weight))
