"""Convolutions over a window: its own samples alone, in their order."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmseq.batch import WaveformEvents
from mmseq.encoders import encoders


@pytest.mark.parametrize("n", [1, 7, 400])
@pytest.mark.parametrize("channels", [1, 3])
def test_windows_of_any_length(n: int, channels: int) -> None:
    torch.manual_seed(0)
    built = encoders.build(encoders.parse({"kind": "conv"}), SimpleNamespace(shape=(n, channels)), 5).double()
    events = WaveformEvents(torch.arange(4), torch.randn(4, n, channels, dtype=torch.float64))
    found = built(events)
    assert found.shape == (4, 5) and bool(found.isfinite().all())
    if n > 1:
        turned = built(WaveformEvents(events.step, events.values.flip(1)))
        assert not torch.allclose(turned, found)


def test_no_events_leave_zero_gradients() -> None:
    built = encoders.build(encoders.parse({"kind": "conv"}), SimpleNamespace(shape=(50, 2)), 5)
    found = built(WaveformEvents(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 50, 2)))
    assert found.shape == (0, 5)
    found.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in built.parameters())
