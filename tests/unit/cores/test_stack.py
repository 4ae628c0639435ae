"""Cores one above another."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import cores
from mmseq.cores.stack import StackCore
from mmseq.random import name_layers
from mmseq.testing.build import LENGTHS, random_timeline

WIDTH = 5
GRU = {"kind": "gru", "hidden": 6}


def build(**options: Any) -> StackCore:
    torch.manual_seed(1)
    core = cores.build(cores.parse({"kind": "stack", "layers": 3, "core": GRU, **options}), WIDTH).double()
    for parameter in core.parameters():
        nn.init.normal_(parameter, std=0.4)
    name_layers(core)
    return core


def ragged(continues: bool = False, noise: int | None = None, marks: tuple[str, ...] = ()) -> Timeline:
    generator = torch.Generator().manual_seed(0)
    return random_timeline(LENGTHS, generator, continues=continues, noise=noise, marks=marks)


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(sum(LENGTHS), WIDTH, dtype=torch.float64)


def by_hand(core: StackCore, x: Tensor, timeline: Timeline, residual: bool, norm: bool) -> Tensor:
    for i, layer in enumerate(core.layers):
        y = x
        if norm:
            y = (y - y.mean(1, keepdim=True)) / (y.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
            y = y * core.norms[i].weight + core.norms[i].bias
        y, _ = layer(y, timeline)
        if timeline.noise is not None:
            keep = timeline.noise.uniform(core.dropout[i].layer, 6) >= 0.4
            y = y * keep[timeline.sample] / 0.6
        if residual:
            y = y + (x @ core.skips[i].weight.T if i == 0 else x)
        x = y
    return x


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("noise", [None, 3])
def test_each_option_does_what_it_says(residual: bool, norm: bool, noise: int | None, inputs: Tensor) -> None:
    core, timeline = build(residual=residual, norm=norm, dropout=0.4), ragged(noise=noise)
    outputs, state = core(inputs, timeline)
    assert state == {}
    assert torch.allclose(outputs, by_hand(core, inputs, timeline, residual, norm), rtol=0, atol=1e-12)


def test_inputs_as_wide_as_the_outputs_are_added_as_they_are() -> None:
    core = build(core={"kind": "gru", "hidden": WIDTH})
    assert all(isinstance(skip, nn.Identity) for skip in core.skips)


@pytest.mark.parametrize(
    "kind", [kind for kind in cores.kinds() if "hidden" in cores.config_class(kind).model_fields]
)
def test_stacks_any_core(kind: str, inputs: Tensor) -> None:
    core = build(core={"kind": kind, "hidden": 6}, layers=2)
    outputs, _ = core(inputs, ragged(marks=core.marks))
    assert outputs.shape == (len(inputs), 6)
    assert core.causal


def test_it_is_causal_and_wants_marks_as_its_layers_do() -> None:
    assert build().causal
    assert build().marks == ()
    core = build(core={"kind": "bidirectional", "core": GRU})
    assert not core.causal
    assert core.hidden == 12
    marked = {"kind": "r2n2", "segments": [{"marker": "visit"}]}
    assert build(core=marked).marks == ("visit",)


def test_a_stack_that_looks_ahead_cannot_stream(inputs: Tensor) -> None:
    core = build(core={"kind": "bidirectional", "core": GRU})
    with pytest.raises(ValueError, match=r"runs over whole samples.*got a timeline with continues=True"):
        core(inputs, ragged(continues=True))


def test_another_cores_state_is_refused(inputs: Tensor) -> None:
    with pytest.raises(ValueError, match="StackCore: a state holds 0, 1, 2; got nothing; pass the state of"):
        build()(inputs, ragged(continues=True), {})
