"""Causal dilated convolutions over ragged steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores.cnn import CnnCore
from mmseq.testing.build import LENGTHS, random_timeline

WIDTH, HIDDEN = 5, 6


def build(kernel: int, width: int = WIDTH) -> CnnCore:
    torch.manual_seed(1)
    return CnnCore(width, hidden=HIDDEN, layers=3, kernel=kernel).double()


def ragged(*lengths: int) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0), continues=True)


def by_conv1d(core: CnnCore, x: Tensor) -> Tensor:
    """One sample by PyTorch's convolution, padded on the left; taps go back in time."""
    for i, layer in enumerate(core.layers):
        weight = layer.weight.view(HIDDEN, core.kernel, -1).flip(1).transpose(1, 2)
        padded = nn.functional.pad(x.T, ((core.kernel - 1) * 2**i, 0))
        y = nn.functional.conv1d(padded[None], weight, layer.bias, dilation=2**i)[0].T.relu()
        x = (core.skip(x) if i == 0 else x) + y
    return x


@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("width", [WIDTH, HIDDEN])
def test_equals_conv1d_sample_by_sample(kernel: int, width: int) -> None:
    core, timeline = build(kernel, width), ragged(*LENGTHS)
    inputs = torch.randn(timeline.n_steps, width, dtype=torch.float64)
    outputs, _ = core(inputs, timeline)
    parts = zip(inputs.split(list(LENGTHS)), outputs.split(list(LENGTHS)), strict=True)
    for x, y in ((x, y) for x, y in parts if len(x)):
        assert torch.allclose(y, by_conv1d(core, x), rtol=0, atol=1e-12)


def test_it_sees_as_far_back_as_it_says() -> None:
    """1 + (kernel - 1)(2^layers - 1) steps: 15 with three layers and three taps."""
    core, timeline = build(3), ragged(30)
    for layer in core.layers:
        layer.weight.data.abs_()  # so that every unit is above zero
    inputs = torch.rand(30, WIDTH, dtype=torch.float64, requires_grad=True)
    core(inputs, timeline)[0][29].sum().backward()
    assert inputs.grad is not None
    reached = inputs.grad.abs().sum(1) > 0
    assert reached.nonzero()[:, 0].tolist() == list(range(15, 30))


def test_the_state_holds_the_inputs_of_each_layer() -> None:
    core, timeline = build(2), ragged(5, 1, 0)
    inputs = torch.randn(6, WIDTH, dtype=torch.float64)
    _, state = core(inputs, timeline)
    assert {name: tuple(part.shape) for name, part in state.items()} == {
        "0": (3, 1, WIDTH),
        "1": (3, 2, HIDDEN),
        "2": (3, 4, HIDDEN),
    }
    assert torch.equal(state["0"][:2, 0], inputs[[4, 5]])
    assert not state["2"][1, :3].any()  # before its first step
    assert not state["2"][2].any()


def test_another_cores_state_is_refused() -> None:
    with pytest.raises(ValueError, match="CnnCore: a state holds 0, 1, 2; got hidden; pass the state of"):
        build(2)(torch.zeros(1, WIDTH, dtype=torch.float64), ragged(1), {"hidden": torch.zeros(1, 1, 6)})
