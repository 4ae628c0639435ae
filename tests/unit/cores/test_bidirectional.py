"""Cores that run forwards and backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import cores
from mmseq.cores.bidirectional import BidirectionalCore, reversal, reverse
from mmseq.testing.build import LENGTHS, random_timeline

WIDTH = 5


def build(**core: Any) -> BidirectionalCore:
    torch.manual_seed(1)
    inner = {"kind": "lstm", "hidden": 6, **core}
    return cores.build(cores.parse({"kind": "bidirectional", "core": inner}), WIDTH).double()


def ragged(*lengths: int, **options: Any) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0), **options)


def torch_layer(core: BidirectionalCore) -> nn.LSTM:
    layer = nn.LSTM(WIDTH, 6, bidirectional=True).double()
    weights = dict(core.ahead.rnn.state_dict())
    weights |= {f"{name}_reverse": value for name, value in core.back.rnn.state_dict().items()}
    layer.load_state_dict(weights)
    return layer


def test_equals_torch_sample_by_sample() -> None:
    core, timeline = build(), ragged(*LENGTHS)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    outputs, state = core(inputs, timeline)
    assert (core.hidden, core.causal, state) == (12, False, {})
    layer = torch_layer(core)
    parts = zip(inputs.split(list(LENGTHS)), outputs.split(list(LENGTHS)), strict=True)
    for x, y in ((x, y) for x, y in parts if len(x)):
        assert torch.allclose(y, layer(x)[0], rtol=0, atol=1e-12)


def test_the_reversed_clock() -> None:
    """Δ becomes the time to the following step; a mark stands where the following step has one."""
    starts = torch.tensor([0, 4, 4, 6])
    time = torch.tensor([0, 1, 3, 7, 0, 5], dtype=torch.float64)
    delta = torch.tensor([0, 1, 2, 4, 0, 5], dtype=torch.float32)
    mark = torch.tensor([True, False, True, False, True, False])
    timeline = Timeline(starts, time, delta, marks={"visit": mark})
    flip = reversal(timeline)
    assert flip.tolist() == [3, 2, 1, 0, 5, 4]
    back = reverse(timeline, flip)
    assert back.time.tolist() == [0, 4, 6, 7, 0, 5]
    assert back.delta.tolist() == [0, 4, 2, 1, 0, 5]
    assert back.marks["visit"].tolist() == [True, False, True, False, True, False]
    assert torch.equal(back.starts, starts)


def test_reversing_twice_is_no_change() -> None:
    timeline = ragged(*LENGTHS)
    flip = reversal(timeline)
    again = reverse(reverse(timeline, flip), flip)
    first = timeline.time[timeline.starts[timeline.sample]]
    assert torch.allclose(again.time, timeline.time - first, rtol=0, atol=1e-12)
    assert torch.equal(again.delta, timeline.delta)


def test_the_clock_reaches_the_core_that_runs_backwards() -> None:
    core, timeline = build(kind="decay_gru"), ragged(4, 3)
    inputs = torch.randn(7, WIDTH, dtype=torch.float64)
    outputs, _ = core(inputs, timeline)
    flip = reversal(timeline)
    back, _ = core.back(inputs[flip], reverse(timeline, flip))
    assert torch.equal(outputs[:, 6:], back[flip])
    other, _ = core.back(inputs[flip], timeline)
    assert not torch.allclose(back, other, atol=1e-4)


@pytest.mark.parametrize(
    ("continues", "state", "came"),
    [(True, None, "a timeline with continues=True"), (False, {}, "a state"), (True, {}, "a state")],
)
def test_it_cannot_stream(continues: bool, state: dict[str, Tensor] | None, came: str) -> None:
    with pytest.raises(ValueError) as caught:
        build()(torch.zeros(3, WIDTH, dtype=torch.float64), ragged(3, continues=continues), state)
    assert str(caught.value) == (
        f"BidirectionalCore: runs over whole samples, since it looks at later steps; got {came}; "
        "leave out the state and continues, or take a causal core to stream or run in chunks"
    )
