"""What min_gru, min_lstm and lru have in common: states, the clock, precision, options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mmseq.batch import Timeline
from mmseq.cores import Core, cores
from mmseq.cores.linear_recurrence import log_delta
from mmseq.random import name_layers
from mmseq.testing.build import LENGTHS, chunks, random_timeline

KINDS = ("min_gru", "min_lstm", "lru")
every_kind = pytest.mark.parametrize("kind", KINDS)
WIDTH = 5


def build(kind: str, dtype: torch.dtype = torch.float64, **options: Any) -> Core:
    torch.manual_seed(1)
    return cores.build(cores.config_class(kind)(kind=kind, **{"hidden": 6, **options}), WIDTH).to(dtype)


def ragged(*lengths: int, continues: bool = False, noise: int | None = None) -> Timeline:
    return random_timeline(lengths, torch.Generator().manual_seed(0), continues=continues, noise=noise)


@every_kind
def test_without_continuation_the_state_is_empty(kind: str) -> None:
    for lengths in ((3, 1), (1, 0), ()):
        timeline = ragged(*lengths)
        assert build(kind)(torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64), timeline)[1] == {}


@every_kind
def test_empty_state_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"a state holds .*got nothing; pass the state of a call whose"):
        build(kind)(torch.randn(2, WIDTH, dtype=torch.float64), ragged(2), {})


@every_kind
def test_state_has_a_row_for_each_sample_and_layer(kind: str) -> None:
    core, timeline = build(kind, layers=3), ragged(*LENGTHS, continues=True)
    _, state = core(torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64), timeline)
    assert all(part.shape == (len(LENGTHS), 3, 6) and not part.is_complex() for part in state.values())
    assert all(not part[1].any() for part in state.values()), "a sample without steps has its first state"


@every_kind
def test_single_steps_go_on_as_the_whole(kind: str) -> None:
    core, timeline = build(kind, layers=2), ragged(3, 0, 2, 9, continues=True)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    whole, end = core(inputs, timeline)
    state = None
    for part, where in chunks(timeline, 1):
        outputs, state = core(inputs[where], part, state)
        assert torch.allclose(outputs, whole[where], rtol=0, atol=1e-12)
    assert state is not None
    assert all(torch.allclose(state[name], end[name], rtol=0, atol=1e-12) for name in end)


@every_kind
def test_longer_gaps_forget_more(kind: str) -> None:
    core, start = build(kind, delta_power=1.0), torch.tensor([0, 1])
    x = torch.zeros(1, WIDTH, dtype=torch.float64)
    _, one = core(x, Timeline(start, torch.zeros(1), torch.zeros(1), True))
    other = {name: value + 1 for name, value in one.items()}
    left = []  # of the difference between two states, after gaps
    for gap in (1e-3, 1.0, 1e5):
        now = Timeline(start, torch.tensor([gap]), torch.tensor([gap]), True)
        ends = [core(x, now, state)[1] for state in (one, other)]
        left.append(sum(float((ends[0][name] - ends[1][name]).detach().square().sum()) for name in one))
    assert left[0] > left[1] + 0.1 > 1000 * left[2]


@every_kind
def test_power_zero_counts_steps(kind: str) -> None:
    core, timeline = build(kind, delta_power=0.0), ragged(*LENGTHS)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    stretched = replace(timeline, delta=timeline.delta * 7)
    assert torch.equal(core(inputs, timeline)[0], core(inputs, stretched)[0])
    awake = build(kind)
    assert not torch.allclose(awake(inputs, timeline)[0], awake(inputs, stretched)[0], atol=1e-4)


def test_log_delta_is_zero_where_there_is_no_step_before() -> None:
    timeline = Timeline(torch.tensor([0, 3]), torch.arange(3.0).double(), torch.tensor([0.0, 1.0, 0.5]))
    assert log_delta(timeline, torch.float64).exp().tolist() == pytest.approx([1.0, 1.0, 0.5])


@every_kind
def test_dropout_is_one_mask_a_sample(kind: str) -> None:
    core = build(kind, dropout=0.5)
    name_layers(core)
    timeline = ragged(6, 2, 9, noise=5)
    inputs = torch.randn(timeline.n_steps, WIDTH, dtype=torch.float64)
    outputs, calm = core(inputs, timeline)[0], core(inputs, replace(timeline, noise=None))[0]
    assert timeline.noise is not None
    keep = timeline.noise.uniform(core.dropout[0].layer, 6) >= 0.5
    assert torch.allclose(outputs, calm * keep[timeline.sample] * 2, rtol=0, atol=1e-12)


@every_kind
@pytest.mark.parametrize("lengths", [(4, 0, 9), (1, 1), (0,)])
def test_autocast_keeps_the_recurrence_in_full_precision(kind: str, lengths: tuple[int, ...]) -> None:
    core, timeline = build(kind, torch.float32), ragged(*lengths, continues=True)
    inputs = torch.randn(timeline.n_steps, WIDTH).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = core(inputs, timeline)
        core(inputs, timeline, state)
    assert torch.equal(outputs, core(inputs.float(), timeline)[0])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in core.parameters())


@every_kind
def test_weights_without_gradient_and_inputs_without_gradient(kind: str) -> None:
    core, timeline = build(kind), ragged(4, 2)
    first, *others = core.parameters()
    first.requires_grad_(False)
    core(torch.randn(6, WIDTH, dtype=torch.float64), timeline)[0].sum().backward()
    assert first.grad is None and all(parameter.grad is not None for parameter in others)


@every_kind
def test_layers_start_apart(kind: str) -> None:
    core = build(kind, layers=2, hidden=WIDTH)
    one, two = ([p for p in layer.parameters() if p.ndim > 1] for layer in core.layers)
    assert all(not torch.equal(a, b) for a, b in zip(one, two, strict=True))


@every_kind
@pytest.mark.parametrize(
    "field",
    [{"hidden": 0}, {"layers": 0}, {"dropout": 1.0}, {"delta_power": -0.1}, {"delta_power": float("inf")}],
)
def test_config_refuses(kind: str, field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        cores.config_class(kind)(kind=kind, **field)


@every_kind
def test_every_field_is_described(kind: str) -> None:
    fields = cores.config_class(kind).model_fields
    assert all(field.description for name, field in fields.items() if name != "kind")
