"""What rnn, lstm and gru have in common: they are PyTorch's layers, whichever way they run."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline, pad
from mmseq.cores import cores
from mmseq.cores.recurrent import RecurrentCore
from mmseq.random import name_layers
from mmseq.testing.build import LENGTHS, chunks, random_timeline

LAYERS: dict[str, type[nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
every_kind = pytest.mark.parametrize("kind", LAYERS)
either = pytest.mark.parametrize("continues", [False, True])
WIDTH = 5


def build(kind: str, dtype: torch.dtype = torch.float64, **options: Any) -> RecurrentCore:
    torch.manual_seed(1)
    config = cores.config_class(kind)(kind=kind, **{"hidden": 6, **options})
    core = cores.build(config, WIDTH).to(dtype)
    for name, parameter in core.named_parameters():
        if "bias" in name:  # zeros would hide a bias that is left out
            nn.init.normal_(parameter, std=0.3)
    return core


def ragged(*lengths: int, continues: bool = False, noise: int | None = None) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0), continues=continues, noise=noise)


def torch_layer(core: RecurrentCore, kind: str) -> nn.RNNBase:
    layer = LAYERS[kind](WIDTH, core.hidden, core.rnn.num_layers, batch_first=True)
    layer.to(next(core.parameters()).dtype).load_state_dict(core.rnn.state_dict())
    return layer


def gradients(module: nn.Module, *others: Tensor) -> list[Tensor]:
    found = [tensor.grad for tensor in (*others, *module.parameters())]
    for tensor in (*others, *module.parameters()):
        tensor.grad = None
    assert all(grad is not None for grad in found)
    return [grad for grad in found if grad is not None]


def assert_equal_to_padded(core: RecurrentCore, kind: str, timeline: Timeline, tolerance: float) -> None:
    dtype = next(core.parameters()).dtype
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=dtype, requires_grad=True)
    loss = torch.randn(timeline.n_steps, core.hidden, dtype=dtype)
    outputs, _ = core(inputs, timeline)
    outputs.backward(loss)
    mine = [outputs.detach(), *gradients(core, inputs)]
    layer = torch_layer(core, kind)
    padded, mask = pad(inputs, timeline.starts)
    expected = layer(padded)[0][mask]
    expected.backward(loss)
    for got, want in zip(mine, [expected.detach(), *gradients(layer, inputs)], strict=True):
        assert float((got - want).abs().max()) <= tolerance * max(1, float(want.abs().max()))


@every_kind
@either
@pytest.mark.parametrize("layers", [1, 3])
def test_equals_padded_layer(kind: str, continues: bool, layers: int) -> None:
    timeline = ragged(*LENGTHS, continues=continues)
    assert_equal_to_padded(build(kind, layers=layers), kind, timeline, 1e-12)


@every_kind
@either
def test_equals_padded_layer_in_single_precision(kind: str, continues: bool) -> None:
    timeline = ragged(*LENGTHS, 300, 90, 89, continues=continues)
    assert_equal_to_padded(build(kind, torch.float32, layers=2), kind, timeline, 1e-4)


@every_kind
@either
def test_equals_padded_layer_in_small_blocks(kind: str, continues: bool) -> None:
    """Caught: a part that begins with the state of the block's first time."""
    core = build(kind, layers=2)
    core.most = 5
    assert_equal_to_padded(core, kind, ragged(*LENGTHS, continues=continues), 1e-12)


@every_kind
@pytest.mark.parametrize("lengths", [(1, 1, 1), (1, 0, 1), (7,), (1, 0, 40), (4, 4, 4)])
def test_equals_padded_layer_at_odd_lengths(kind: str, lengths: tuple[int, ...]) -> None:
    assert_equal_to_padded(build(kind, layers=2), kind, ragged(*lengths, continues=True), 1e-12)


@every_kind
def test_weights_go_to_and_from_torch(kind: str) -> None:
    core, layer = build(kind, layers=2), LAYERS[kind](WIDTH, 6, 2).double()
    core.rnn.load_state_dict(layer.state_dict())
    timeline, inputs = ragged(4), torch.randn(4, WIDTH, dtype=torch.float64)
    assert torch.allclose(core(inputs, timeline)[0], layer(inputs)[0], rtol=0, atol=1e-12)
    other = build(kind, layers=2)
    layer.load_state_dict(other.rnn.state_dict())
    assert torch.allclose(other(inputs, timeline)[0], layer(inputs)[0], rtol=0, atol=1e-12)
    assert not torch.allclose(other(inputs, timeline)[0], core(inputs, timeline)[0], atol=1e-2)


@every_kind
def test_state_and_its_gradient(kind: str) -> None:
    """From a given state: outputs, final state, and gradients through both, sample by sample."""
    core = build(kind, layers=2)
    layer = torch_layer(core, kind)
    timeline = ragged(*LENGTHS, continues=True)
    n = timeline.n_samples
    begin = {part: torch.randn(n, 2, 6, dtype=torch.float64, requires_grad=True) for part in core.parts}
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64, requires_grad=True)
    loss = torch.randn_like(inputs[:, :1])
    weight = torch.randn(n, 2, 6, dtype=torch.float64)

    outputs, end = core(inputs, timeline, begin)
    assert set(end) == set(core.parts)
    ((outputs * loss).sum() + sum((part * weight).sum() for part in end.values())).backward()
    mine = gradients(core, inputs, *begin.values())

    total, starts = torch.zeros((), dtype=torch.float64), timeline.starts.tolist()
    for i, (a, b) in enumerate(pairwise(starts)):
        state = [part[i : i + 1].transpose(0, 1).contiguous() for part in begin.values()]
        after = state
        if b > a:
            y, now = layer(inputs[None, a:b], tuple(state) if len(state) > 1 else state[0])
            after = list(now) if isinstance(now, tuple) else [now]
            assert torch.allclose(y[0], outputs[a:b], rtol=0, atol=1e-12)
            total = total + (y[0] * loss[a:b]).sum()
        for part, value in zip(core.parts, after, strict=True):
            assert torch.allclose(value[:, 0], end[part][i], rtol=0, atol=1e-12)
            total = total + (value[:, 0] * weight[i]).sum()
    total.backward()
    for got, want in zip(mine, gradients(layer, inputs, *begin.values()), strict=True):
        assert torch.allclose(got, want, rtol=0, atol=1e-11)


@every_kind
def test_gradcheck(kind: str) -> None:
    core = build(kind, hidden=3)
    timeline = ragged(3, 0, 1, 4, continues=True)
    begin = [torch.randn(4, 1, 3, dtype=torch.float64, requires_grad=True) for _ in core.parts]
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64, requires_grad=True)

    def run(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state = dict(zip(core.parts, rest, strict=False))
        names = [name for name, _ in core.named_parameters()]
        weights = dict(zip(names, rest[len(core.parts) :], strict=True))
        outputs, end = torch.func.functional_call(core, weights, (inputs, timeline, state))
        return outputs, *end.values()

    weights = [parameter.detach().clone().requires_grad_() for parameter in core.parameters()]
    assert torch.autograd.gradcheck(run, (inputs, *begin, *weights))


@every_kind
@either
@pytest.mark.parametrize("noise", [None, 3])
def test_the_ways_for_cuda_agree(
    kind: str, continues: bool, noise: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = build(kind, layers=3, dropout=0.5)
    name_layers(core)
    timeline = ragged(*LENGTHS, continues=True, noise=noise)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64, requires_grad=True)
    begin = {part: torch.randn(timeline.n_samples, 3, 6, dtype=torch.float64) for part in core.parts}
    layers, packed, results = RecurrentCore._run_layers, RecurrentCore._run_packed, []
    ways = [layers, lambda *args: packed(*args[:-1]), lambda *args: layers(*args[:-1], True)]
    for way in ways:
        monkeypatch.setattr(RecurrentCore, "_run_layers", way)
        outputs, end = core(inputs, replace(timeline, continues=continues), begin)
        (outputs.square().sum() + sum(part.sum() for part in end.values())).backward()
        results.append([outputs, *end.values(), *gradients(core, inputs)])
    for mine, *others in zip(*results, strict=True):
        assert all(torch.allclose(mine, other, rtol=0, atol=1e-11) for other in others)


@every_kind
def test_dropout_is_one_mask_a_sample_after_every_layer(kind: str) -> None:
    core = build(kind, layers=2, dropout=0.5)
    name_layers(core)
    timeline = ragged(6, 2, 9, noise=5)
    assert timeline.noise is not None
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    below, above = LAYERS[kind](WIDTH, 6).double(), LAYERS[kind](6, 6).double()
    state = core.rnn.state_dict()
    below.load_state_dict({name: value for name, value in state.items() if name.endswith("l0")})
    above.load_state_dict({f"{name[:-1]}0": value for name, value in state.items() if name.endswith("l1")})
    keep, keep_above = (timeline.noise.uniform(core.dropout[i].layer, 6) >= 0.5 for i in range(2))
    outputs, _ = core(inputs, timeline)
    starts = timeline.starts.tolist()
    for i, (a, b) in enumerate(pairwise(starts)):
        hidden = below(inputs[a:b])[0] * keep[i] * 2
        expected = above(hidden)[0] * keep_above[i] * 2
        assert torch.allclose(expected, outputs[a:b], rtol=0, atol=1e-12)
    calm = replace(timeline, noise=None)
    assert_equal_to_padded(core, kind, calm, 1e-12)
    assert not torch.allclose(core(inputs, calm)[0], outputs, atol=1e-2)


@every_kind
def test_one_step_needs_no_layout(kind: str) -> None:
    core = build(kind, layers=2)
    timeline = ragged(3, 0, 2, continues=True)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    whole, _ = core(inputs, timeline)
    state = None
    for part, where in chunks(timeline, 1):
        outputs, state = core(inputs[where], part, state)
        assert torch.allclose(outputs, whole[where], rtol=0, atol=1e-12)
        assert "_layouts" not in vars(part)


@every_kind
def test_without_continuation_the_state_is_empty(kind: str) -> None:
    core = build(kind)
    for lengths in ((3, 1), (1, 0), ()):
        timeline = ragged(*lengths)
        assert core(torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64), timeline)[1] == {}


@every_kind
def test_empty_state_is_refused(kind: str) -> None:
    core, timeline = build(kind), ragged(2)
    with pytest.raises(
        ValueError, match=r"a state holds hidden.*got nothing; pass the state of a call whose"
    ):
        core(torch.randn(2, WIDTH, dtype=torch.float64), timeline, {})


@every_kind
@pytest.mark.parametrize("lengths", [(4, 0, 9), (1, 1), (0,)])
def test_autocast_keeps_the_recurrence_in_full_precision(kind: str, lengths: tuple[int, ...]) -> None:
    core = build(kind, torch.float32)
    timeline = ragged(*lengths, continues=True)
    inputs = torch.randn(timeline.n_steps, WIDTH).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = core(inputs, timeline)
        core(inputs, timeline, state)
    assert torch.equal(outputs, core(inputs.float(), timeline)[0])
    outputs.sum().backward()
    gradients(core)


@every_kind
def test_gradients_in_evaluation_mode(kind: str) -> None:
    """Attributions ask for gradients of a model that is not training."""
    core = build(kind, torch.float32).eval()
    assert_equal_to_padded(core, kind, ragged(4, 9), 1e-5)


@every_kind
def test_initial_weights(kind: str) -> None:
    core = cores.build(cores.config_class(kind)(kind=kind, hidden=32, layers=2), 12)
    for layer in range(2):
        for gate in getattr(core.rnn, f"weight_hh_l{layer}").chunk(core.n_gates):
            assert torch.allclose(gate @ gate.T, torch.eye(32), atol=1e-5)
        for gate in getattr(core.rnn, f"weight_ih_l{layer}").chunk(core.n_gates):
            bound = (6 / sum(gate.shape)) ** 0.5
            assert 0.9 * bound < float(gate.detach().abs().max()) <= bound
            assert float(gate.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.15)


@every_kind
def test_layers_start_apart(kind: str) -> None:
    core = cores.build(cores.config_class(kind)(kind=kind, layers=2), 64)
    assert not torch.equal(core.rnn.weight_hh_l0, core.rnn.weight_hh_l1)
    gates = core.rnn.weight_hh_l0.chunk(core.n_gates)
    assert all(not torch.equal(gates[0], gate) for gate in gates[1:])


@every_kind
@pytest.mark.parametrize("field", [{"hidden": 0}, {"layers": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_config_refuses(kind: str, field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        cores.config_class(kind)(kind=kind, **field)


@every_kind
def test_every_field_is_described(kind: str) -> None:
    fields = cores.config_class(kind).model_fields
    assert all(field.description for name, field in fields.items() if name != "kind")
