"""e_c + o · (u + z · v_c) + t_w, and the zero vector of what is missing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mmseq.batch import MeasurementEvents
from mmseq.encoders.measurement import MeasurementEncoder

WIDTH = 3


def build(texts: list[str] | None) -> MeasurementEncoder:
    torch.manual_seed(0)
    encoder = MeasurementEncoder(SimpleNamespace(codes=["a", "b"], texts=texts), WIDTH)
    torch.nn.init.normal_(encoder.number)
    return encoder


def some(texts: bool) -> MeasurementEvents:
    code, text = torch.tensor([2, 3, 3, 0, 1]), torch.tensor([2, 0, 1, 2, 3])
    observed = torch.tensor([True, True, False, False, True])
    values = torch.tensor([0.5, -2.0, 0.0, 0.0, 1.5])
    return MeasurementEvents(torch.arange(5), code, values, observed, text if texts else None)


@pytest.mark.parametrize("texts", [False, True])
def test_formula(texts: bool) -> None:
    encoder, events = build(["x", "y"] if texts else None), some(texts)
    found = encoder(events)
    for i, (code, z, seen) in enumerate(zip(events.code, events.values, events.observed, strict=True)):
        vector, slope = encoder.codes.weight[code].chunk(2)
        expected = vector * (code > 0) + (encoder.number + z * slope) * seen
        if events.text is not None and encoder.texts is not None and events.text[i]:
            expected = expected + encoder.texts.weight[events.text[i]]
        torch.testing.assert_close(found[i], expected)


def test_missing_is_zero_and_rare_starts_there() -> None:
    encoder = build(["x", "y"])
    nothing = torch.zeros(2)
    events = MeasurementEvents(
        torch.arange(2), torch.tensor([0, 1]), nothing, nothing.bool(), torch.tensor([0, 1])
    )
    assert not encoder(events).any()
    encoder(events).sum().backward()
    assert encoder.codes.weight.grad is not None and encoder.texts is not None
    assert encoder.codes.weight.grad[0].any().logical_not() and encoder.codes.weight.grad[1].any()
    assert encoder.texts.weight.grad is not None and encoder.texts.weight.grad[1].any()
