"""Every core keeps the contract, and the contract catches a core that does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core, cores
from mmseq.cores.gru import GruCore
from mmseq.state import State
from mmseq.testing import check_kind
from mmseq.testing.cores import check_core

Result = tuple[Tensor, State]


@pytest.mark.parametrize("kind", cores.kinds())
def test_contract(kind: str) -> None:
    check_kind("cores", kind)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru", "decay_gru", "min_gru", "min_lstm", "lru"])
def test_contract_of_several_layers_with_dropout(kind: str) -> None:
    torch.manual_seed(0)
    config = cores.config_class(kind)(kind=kind, hidden=6, layers=3, dropout=0.4)
    check_core(cores.build(config, 5), 5)


GRU: dict[str, Any] = {"kind": "gru", "hidden": 6}
DECAY: dict[str, Any] = {"kind": "decay_gru", "hidden": 4, "dropout": 0.3}
VISITS: dict[str, Any] = {"kind": "r2n2", "hidden": 6, "segments": [{"marker": "visit"}]}


def levels(*levels: tuple[dict[str, Any], dict[str, Any] | None]) -> list[dict[str, Any]]:
    return [{"core": core, "segment": segment} for core, segment in levels]


COMPOSED: dict[str, dict[str, Any]] = {
    "deep stack": {"kind": "stack", "layers": 3, "dropout": 0.4, "core": GRU},
    "plain stack": {"kind": "stack", "residual": False, "norm": False, "core": GRU},
    "stack of convolutions": {"kind": "stack", "core": {"kind": "cnn", "hidden": 5, "layers": 2}},
    "stack of hierarchies": {"kind": "stack", "dropout": 0.2, "core": VISITS},
    "both ways": {"kind": "bidirectional", "core": DECAY},
    "both ways over visits": {"kind": "bidirectional", "core": VISITS},
    "stack of both ways": {"kind": "stack", "core": {"kind": "bidirectional", "core": GRU}},
    "mlp with dropout": {"kind": "mlp", "hidden": 6, "layers": 3, "dropout": 0.4},
    "cnn with dropout": {"kind": "cnn", "hidden": 6, "layers": 3, "kernel": 2, "dropout": 0.4},
    "r3n3 with dropout": {"kind": "r3n3", "cell": "gru", "hidden": 8, "dropout": 0.3},
    "r2n2 of every step": {"kind": "r2n2", "hidden": 6, "segments": [{"steps": 1}]},
    "r3n3 without memory": {"kind": "r3n3", "cell": "mlp", "hidden": 6},
    "gaps": {
        "kind": "hierarchical",
        "levels": levels((GRU, None), (DECAY, {"gap": 1.0}), (GRU, {"gap": 2.0})),
    },
    "markers": {
        "kind": "hierarchical",
        "levels": levels((DECAY, None), (GRU, {"marker": "visit"}), (DECAY, {"marker": "ward"})),
    },
    "four levels": {
        "kind": "hierarchical",
        "levels": levels((GRU, None), (DECAY, {"steps": 2}), (GRU, {"marker": "ward"}), (GRU, {"steps": 2})),
    },
    "levels of stacks and hierarchies": {
        "kind": "hierarchical",
        "levels": levels(({"kind": "stack", "dropout": 0.3, "core": GRU}, None), (VISITS, {"steps": 2})),
    },
}


QUICK = ("plain stack", "both ways", "cnn with dropout")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in COMPOSED]
)
def test_contract_of_composed_cores(name: str) -> None:
    torch.manual_seed(0)
    check_core(cores.build(cores.parse(COMPOSED[name]), 5), 5)


class LeaksAcrossSamples(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        return super().forward(inputs - inputs.mean(0) if len(inputs) else inputs, timeline, state)


class DependsOnPlaceInBatch(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        return super().forward(inputs + timeline.sample[:, None], timeline, state)


class ForgetsState(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        return super().forward(inputs, timeline, None)


class DetachesState(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y, {name: part.detach() for name, part in after.items() if isinstance(part, Tensor)}


class ResetsIdleRows(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        moved = timeline.lengths > 0
        return y, {name: part * moved[:, None, None] for name, part in after.items()}


class RemembersOnModule(GruCore):
    last: State | None = None

    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, self.last = super().forward(inputs, timeline, self.last if state is not None else None)
        return y, {name: torch.zeros_like(part) for name, part in self.last.items()}


class LooksAhead(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        return super().forward(inputs + 1e-3 * (inputs.flip(0).cumsum(0).flip(0)), timeline, state)


class LooksOneStepAhead(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        following = torch.arange(1, len(inputs) + 1).minimum(timeline.last[timeline.sample])
        return super().forward(inputs + 1e-6 * inputs[following], timeline, state)


class HasIdleParameter(GruCore):
    def __init__(self, width: int, **options: int) -> None:
        super().__init__(width, **options)
        self.idle = nn.Parameter(torch.ones(3))


class HasVainParameter(HasIdleParameter):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y + 0 * self.idle.sum(), after


class SkipsEmptyBatches(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        if not len(inputs):
            return inputs.new_zeros(0, self.hidden), state or {}
        return super().forward(inputs, timeline, state)


class DropsFromSharedStream(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        if timeline.noise is not None:
            inputs = nn.functional.dropout(inputs, 0.1)
        return super().forward(inputs, timeline, state)


class ChangesInputs(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        result = super().forward(inputs, timeline, state)
        if not torch.is_grad_enabled():
            inputs.clamp_(max=1)
        return result


class ReturnsHalf(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y.half(), after


class PutsLayersFirst(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y, {name: part.transpose(0, 1) for name, part in after.items()}


class Overflows(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y / (y > 0), after


class KeepsHalfOnModule(GruCore):
    """By the other half, whatever the order of the samples: another process has none of it."""

    def __init__(self, width: int, **options: int) -> None:
        super().__init__(width, **options)
        self.kept: dict[tuple[float, ...], Tensor] = {}

    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        if state:
            half = state["hidden"]
            other = [self.kept.get(tuple(row[0].tolist()), torch.zeros_like(row)) for row in half]
            state = {"hidden": torch.cat([half, torch.stack(other)], 2)}
        y, after = super().forward(inputs, timeline, state)
        half, other = after["hidden"].chunk(2, 2)
        self.kept |= {tuple(row[0].tolist()): kept for row, kept in zip(half, other, strict=True)}
        return y, {"hidden": half}


class ReturnsDouble(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y.double(), after


class CentersByLearntShare(GruCore):
    """The mean of no steps has no gradient: 0 / 0."""

    def __init__(self, width: int, **options: int) -> None:
        super().__init__(width, **options)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y - self.share * y.mean(), after


class RootOfZero(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y + (y - y.detach()).sqrt(), after


class GrowsItsState(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        known = {"hidden": state["hidden"]} if state else state
        y, after = super().forward(inputs, timeline, known)
        return y, {**after, "more": torch.zeros(timeline.n_samples)} if state else after


class ForgetsInIdleCalls(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        return super().forward(inputs, timeline, state if timeline.n_steps else None)


class ReturnsOther(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y[:, :-1], after


class RoundsInSingle(GruCore):
    """As under autocast: bfloat16 between float32 and float32."""

    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y.bfloat16().float() if y.dtype == torch.float32 else y, after


class OwnTensor(Tensor):
    """What only a process that knows the class can load."""


class KeepsOwnTensors(GruCore):
    def forward(self, inputs: Tensor, timeline: Timeline, state: State | None = None) -> Result:
        y, after = super().forward(inputs, timeline, state)
        return y, {name: x.as_subclass(OwnTensor) for name, x in after.items() if isinstance(x, Tensor)}


FAULTS: list[tuple[type[Core], str]] = [
    (RoundsInSingle, "precision: float32 agrees with float64 to 1e-3"),
    (KeepsOwnTensors, "saving: what is remembered can be saved and loaded"),
    (ReturnsDouble, "precision: float32 inputs give float32 outputs"),
    (CentersByLearntShare, "empty: no steps, no gradient; share has some"),
    (RootOfZero, "gradients: gradients are finite"),
    (GrowsItsState, "chunks: .* give what the whole gives .*; .*'more'"),
    (ForgetsInIdleCalls, "rows: rows without a step keep their state"),
    (KeepsHalfOnModule, "saving: a state that was saved goes on in another process"),
    (ReturnsOther, "shapes: outputs have shape"),
    (LeaksAcrossSamples, "a sample alone gives what it gives in a batch"),
    (DependsOnPlaceInBatch, "a sample alone gives what it gives in a batch"),
    (ForgetsState, "the state carried on, give what the whole gives"),
    (DetachesState, r"give what the whole gives \(gradient of"),
    (ResetsIdleRows, "give what the whole gives"),
    (RemembersOnModule, "a state's rows can be taken and reordered"),
    (LooksAhead, "a sample alone"),
    (LooksOneStepAhead, "depend on no later step"),
    (HasIdleParameter, "gradients: every trainable parameter gets a gradient.*idle has none"),
    (HasVainParameter, "every parameter matters.*idle is zero"),
    (SkipsEmptyBatches, "samples without steps"),
    (DropsFromSharedStream, "the same call gives the same numbers"),
    (ChangesInputs, "inputs are left as they are"),
    (ReturnsHalf, "the dtype of the inputs"),
    (PutsLayersFirst, "first axis of every state tensor is the sample"),
    (Overflows, "outputs and state are finite"),
]


@pytest.mark.parametrize(("core_class", "rule"), FAULTS, ids=[core.__name__ for core, _ in FAULTS])
def test_planted_fault_is_caught(core_class: type[Core], rule: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=rule) as caught:
        check_core(core_class(5, hidden=6), 5)
    assert str(caught.value).startswith(f"{core_class.__name__}: ")
    assert str(caught.value).count("; ") >= 2  # rule; what came; what to do


def test_core_that_declares_itself_not_causal_may_look_ahead() -> None:
    class Declared(LooksOneStepAhead):
        causal = False

    check_core(Declared(5, hidden=6), 5)


def test_core_itself_is_left_as_it_was() -> None:
    core = GruCore(5, hidden=6)
    before = {name: value.clone() for name, value in core.state_dict().items()}
    check_core(core, 5)
    assert all(torch.equal(before[name], value) for name, value in core.state_dict().items())
    assert all(parameter.grad is None for parameter in core.parameters())
    assert core.training and core.rnn.weight_hh_l0.dtype == torch.float32
