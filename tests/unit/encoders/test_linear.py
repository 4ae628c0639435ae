"""W [value, observed, age] + b."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from mmseq.batch import NumericEvents
from mmseq.encoders.linear import LinearEncoder, features

SPEC = SimpleNamespace(columns=["a", "b"])
EVENTS = NumericEvents(
    torch.tensor([0, 4]),
    torch.tensor([[1.5, 0.0], [-2.0, 3.0]]),
    torch.tensor([[True, False], [True, True]]),
    torch.tensor([[0.0, -1.0], [0.0, 0.5]]),
)


def test_features_are_value_observed_and_age() -> None:
    assert features(EVENTS).tolist() == [[1.5, 0, 1, 0, 0, -1], [-2, 3, 1, 1, 0, 0.5]]


def test_events_that_were_not_aged_have_age_0() -> None:
    fresh = NumericEvents(EVENTS.step, EVENTS.values, EVENTS.observed)
    assert features(fresh)[:, 4:].tolist() == [[0, 0], [0, 0]]


def test_formula() -> None:
    encoder = LinearEncoder(SPEC, 3)
    weight, bias = encoder.linear.weight, encoder.linear.bias
    assert weight.shape == (3, 6)
    for i, row in enumerate([[1.5, 0, 1, 0, 0, -1], [-2, 3, 1, 1, 0, 0.5]]):
        torch.testing.assert_close(encoder(EVENTS)[i], weight @ torch.tensor(row) + bias)
