"""The gated recurrent unit whose state decays between steps."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores.decay_gru import DecayGruCore, decay_rate
from mmseq.cores.gru import GruCore
from mmseq.testing.build import LENGTHS, random_timeline

WIDTH, HIDDEN = 5, 6


def build(layers: int = 1) -> DecayGruCore:
    """Weights with some of which the maximum is 0 and with others not."""
    torch.manual_seed(1)
    core = DecayGruCore(WIDTH, hidden=HIDDEN, layers=layers).double()
    for name, parameter in core.named_parameters():
        if "bias" in name or "decay" in name or "scale" in name:
            nn.init.normal_(parameter, std=0.5)
    return core


def ragged(*lengths: int) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0), continues=True)


def plain_loop(core: DecayGruCore, inputs: Tensor, delta: Tensor, begin: Tensor) -> tuple[Tensor, Tensor]:
    """One sample, by the formula, under autograd."""
    x, ends = inputs, []
    for layer, (w, u, b, c) in enumerate(core.rnn.all_weights):
        h, rows = begin[layer], []
        for t in range(len(x)):
            elapsed = torch.log1p(delta[t] / core.log_scale[layer].exp())
            enters = core.decay_weight[layer] * elapsed + core.decay_bias[layer]
            h = torch.exp(-enters.clamp(min=0)) * h
            a, m = (w @ x[t] + b).chunk(3), (u @ h + c).chunk(3)
            r, z = torch.sigmoid(a[0] + m[0]), torch.sigmoid(a[1] + m[1])
            h = (1 - z) * torch.tanh(a[2] + r * m[2]) + z * h
            rows.append(h)
        x = torch.stack(rows) if rows else x.new_zeros(0, core.hidden)
        ends.append(h)
    return x, torch.stack(ends)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("lengths", [LENGTHS, (1, 0, 1), (4, 4)])
def test_equals_a_plain_loop(layers: int, lengths: tuple[int, ...]) -> None:
    """From a given state: outputs, final state, and the gradients of everything."""
    core, timeline = build(layers), ragged(*lengths)
    n = timeline.n_samples
    timeline = replace(timeline, delta=timeline.delta + 0.1)  # a state's age counts at the first step too
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64, requires_grad=True)
    begin = torch.randn(n, layers, HIDDEN, dtype=torch.float64, requires_grad=True)
    loss, weight = torch.randn(timeline.n_steps, HIDDEN).double(), torch.randn(n, layers, HIDDEN).double()
    leaves = [inputs, begin, *core.parameters()]

    outputs, end = core(inputs, timeline, {"hidden": begin})
    hidden = end["hidden"]
    assert isinstance(hidden, Tensor)
    mine = torch.autograd.grad((outputs * loss).sum() + (hidden * weight).sum(), leaves)

    total, delta = torch.zeros((), dtype=torch.float64), timeline.delta.double()
    for i, (a, b) in enumerate(pairwise(timeline.starts.tolist())):
        y, after = plain_loop(core, inputs[a:b], delta[a:b], begin[i])
        assert torch.allclose(y, outputs[a:b], rtol=0, atol=1e-12)
        assert torch.allclose(after, hidden[i], rtol=0, atol=1e-12)
        total = total + (y * loss[a:b]).sum() + (after * weight[i]).sum()
    for got, want in zip(mine, torch.autograd.grad(total, leaves), strict=True):
        assert torch.allclose(got, want, rtol=0, atol=1e-10) and bool(want.any())


def test_gradcheck() -> None:
    core, timeline = build(), ragged(3, 0, 1, 4)
    begin = torch.randn(4, 1, HIDDEN, dtype=torch.float64, requires_grad=True)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in core.named_parameters()]

    def run(inputs: Tensor, begin: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(names, weights, strict=True))
        outputs, end = torch.func.functional_call(core, named, (inputs, timeline, {"hidden": begin}))
        return outputs, end["hidden"]

    weights = [parameter.detach().clone().requires_grad_() for parameter in core.parameters()]
    assert torch.autograd.gradcheck(run, (inputs, begin, *weights))


@pytest.mark.parametrize("lengths", [LENGTHS, (1, 0, 1)])
@pytest.mark.parametrize("bias", [0.0, -2.0])
def test_is_a_gru_where_nothing_decays(lengths: tuple[int, ...], bias: float) -> None:
    core, timeline = build(layers=2), ragged(*lengths)
    nn.init.constant_(core.decay_weight, -bias / 100)
    nn.init.constant_(core.decay_bias, bias)
    gru = GruCore(WIDTH, hidden=HIDDEN, layers=2).double()
    gru.rnn.load_state_dict(core.rnn.state_dict())
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    begin = {"hidden": torch.randn(timeline.n_samples, 2, HIDDEN, dtype=torch.float64)}
    mine, expected = core(inputs, timeline, begin), gru(inputs, timeline, begin)
    assert torch.allclose(mine[0], expected[0], rtol=0, atol=1e-14)
    assert torch.allclose(mine[1]["hidden"], expected[1]["hidden"], rtol=0, atol=1e-14)


def test_what_is_left_follows_the_formula() -> None:
    delta = torch.tensor([0.0, 3.0, 1e9], dtype=torch.float64)
    log_scale = torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64).log1p()
    weight = torch.tensor([1.0, 1.0, 0.5], dtype=torch.float64)
    bias = torch.tensor([0.0, -0.25, 0.5], dtype=torch.float64)
    left = torch.exp(-decay_rate(delta, log_scale, weight, bias))
    e = torch.e
    expected = [[1.0, 1.0, e**-0.5], [1 / 4, e**0.25 / 4, (4 / 7) ** 0.5 * e**-0.5]]
    assert torch.allclose(left[:2], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert float(left[2].max()) < 1e-4


@pytest.mark.parametrize("n_steps", [1, 4])
def test_after_a_long_time_nothing_is_left(n_steps: int) -> None:
    """The state is forgotten, also where the next call has a single step."""
    core, timeline = build(layers=2), ragged(n_steps)
    nn.init.constant_(core.decay_weight, 1.0)
    timeline = replace(timeline, delta=timeline.delta.index_fill(0, torch.tensor([0]), 1e30))
    inputs = torch.randn(n_steps, WIDTH, dtype=torch.float64)
    state = {"hidden": torch.randn(1, 2, HIDDEN, dtype=torch.float64)}
    assert torch.allclose(core(inputs, timeline, state)[0], core(inputs, timeline)[0], rtol=0, atol=1e-12)
    soon = replace(timeline, delta=timeline.delta.clamp(max=1.0))
    assert not torch.allclose(core(inputs, soon, state)[0], core(inputs, soon)[0], atol=1e-2)


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e3, 1e6, 1e9])
def test_begins_mild_and_with_a_gradient_in_any_unit(unit: float) -> None:
    core, timeline = DecayGruCore(WIDTH, hidden=HIDDEN), ragged(*LENGTHS)
    delta = timeline.delta * unit
    weights = [core.log_scale[0], core.decay_weight[0], core.decay_bias[0]]
    rate = decay_rate(delta, *weights)
    left = torch.exp(-rate).detach()
    assert float(left.min()) > 0.4 and float(left.mean()) > 0.6
    assert bool((rate[delta == 0] == 0).all()) and bool((rate[delta > 0] > 0).all())
    outputs, _ = core(torch.randn(timeline.n_steps, WIDTH), replace(timeline, delta=delta))
    outputs.square().sum().backward()
    for parameter in core.parameters():
        assert parameter.grad is not None and bool(parameter.grad.any())
    for parameter in (core.decay_weight, core.decay_bias):
        assert parameter.grad is not None and bool(parameter.grad.all())


def test_a_unit_of_time_is_a_factor_of_the_scales() -> None:
    core, timeline = build(layers=2), ragged(*LENGTHS)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    minutes, _ = core(inputs, timeline)
    with torch.no_grad():
        core.log_scale.add_(torch.tensor(64.0, dtype=torch.float64).log())
    others, _ = core(inputs, replace(timeline, delta=timeline.delta * 64))
    assert torch.allclose(minutes, others, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lengths", [(4, 0, 9), (1, 1), (0,)])
def test_autocast_keeps_the_recurrence_in_full_precision(lengths: tuple[int, ...]) -> None:
    core, timeline = build().float(), ragged(*lengths)
    inputs = torch.randn(timeline.n_steps, WIDTH).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, _ = core(inputs, timeline)
    assert torch.equal(outputs, core(inputs.float(), timeline)[0])


def test_no_kernel_of_cudnn_is_taken_for_it() -> None:
    assert GruCore.kernel is not None and DecayGruCore.kernel is None
