"""Every readout keeps the contract, and the contract catches one that does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.prefix import Summary, prefix_scan
from mmseq.readouts import Readout, readouts
from mmseq.readouts.attention import AttentionReadout
from mmseq.readouts.last import LastReadout
from mmseq.readouts.max import MaxReadout
from mmseq.readouts.mean import MeanReadout
from mmseq.state import State
from mmseq.testing import check_kind
from mmseq.testing.build import LENGTHS
from mmseq.testing.readouts import check_readout

Result = tuple[Tensor, State]


@pytest.mark.parametrize("kind", readouts.kinds())
def test_contract(kind: str) -> None:
    check_kind("readouts", kind)


class ForgetsState(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        return super().forward(hidden, timeline, None, at)


class MixesSamples(MeanReadout):
    def each(self, hidden: Tensor) -> Summary:
        return super().each(hidden - hidden.mean(0) if len(hidden) else hidden)


class CumulatesOverBatch(MeanReadout):
    """The tempting global cumulative sum, whose rounding depends on the samples before."""

    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        if at is None or state is not None:
            return super().forward(hidden, timeline, state, at)
        total = hidden.cumsum(0)
        start = timeline.starts[timeline.sample]
        before = torch.where((start > 0)[:, None], total[(start - 1).clamp(min=0)], 0)
        place = torch.arange(1, len(hidden) + 1) - start
        _, after = super().forward(hidden, timeline, state, at)
        return ((total - before) / place[:, None])[at], after


class CarriesOnlyTheLast(MaxReadout):
    def combine(self, earlier: Summary, later: Summary) -> Summary:
        return later if len(later["max"]) == len(LENGTHS) else super().combine(earlier, later)


class LooksAhead(LastReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        following = torch.arange(1, len(hidden) + 1).minimum(timeline.last[timeline.sample])
        return super().forward(hidden + 1e-6 * hidden[following], timeline, state, at)


class DetachesState(AttentionReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read, {name: x.detach() for name, x in after.items() if isinstance(x, Tensor)}


class Overflows(AttentionReadout):
    """A softmax without its running maximum."""

    def combine(self, earlier: Summary, later: Summary) -> Summary:
        both = {name: earlier[name] + later[name] for name in ("weight", "value")}
        return {"max": later["max"], **both}

    def each(self, hidden: Tensor) -> Summary:
        weight = (1000 * self.energy(hidden).abs()).exp()
        return {"max": torch.zeros_like(weight), "weight": weight, "value": weight * hidden}


class HasIdleParameter(LastReadout):
    def __init__(self, hidden: int) -> None:
        super().__init__(hidden)
        self.idle = nn.Parameter(torch.ones(3))


class ResetsIdleRows(LastReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        moved = (timeline.lengths > 0)[:, None]
        return read, {name: x * moved for name, x in after.items()}


class ReturnsDouble(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read.double(), after


class ReturnsOther(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read[:, :-1], after


class DropsHidden(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        return super().forward(nn.functional.dropout(hidden, 0.1), timeline, state, at)


class ChangesHidden(LastReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        result = super().forward(hidden, timeline, state, at)
        if not torch.is_grad_enabled():
            hidden.clamp_(max=1)
        return result


class KeepsStateOnModule(LastReadout):
    """One process, all samples in their order: nothing shows. Rows reordered, or another process, do."""

    own: State | None = None

    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        known = self.own is not None and len(self.own["last"]) == timeline.n_samples
        read, after = super().forward(hidden, timeline, self.own if state and known else state, at)
        self.own = after or self.own
        return read, {name: torch.zeros_like(x) for name, x in after.items()}


class CentersOverBatch(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        middle = hidden.sum(0) / max(len(hidden), 1)
        return super().forward(hidden - middle, timeline, state, at)


class PutsSampleLast(LastReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read, {name: x.T for name, x in after.items() if isinstance(x, Tensor)}


class RoundsInSingle(MeanReadout):
    """As under autocast: bfloat16 between float32 and float32."""

    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read.bfloat16().to(read.dtype) if read.dtype == torch.float32 else read, after


class AddsOne(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read + 1, after


class SkipsEmpty(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        if len(hidden) or state:
            return super().forward(hidden, timeline, state, at)
        return torch.zeros(timeline.n_samples if at is None else 0, self.hidden), {}


class HasPenalty(AttentionReadout):
    """It shows in gradients alone."""

    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        penalty = self.key.weight.square().sum()
        return read + penalty - penalty.detach(), after


class DoublesTheDefault(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read * 2 if at is None else read, after


class RootOfZero(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read + (read - read.detach()).sqrt(), after


class HasVainParameter(HasIdleParameter):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read + 0 * self.idle.sum(), after


class ForgetsWhenAsked(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        return super().forward(hidden, timeline, state if at is None else None, at)


class ForgetsByDefault(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        return super().forward(hidden, timeline, None if at is None and len(hidden) else state, at)


class ReadsNothingOfTheIdle(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read if len(hidden) else read * 0, after


class KeepsStateByPlace(MeanReadout):
    """On the module, by a sample's place in the batch."""

    own: dict[str, Tensor] | None = None

    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        if state and self.own is not None:
            state = {name: x[: timeline.n_samples] for name, x in self.own.items()}
        read, after = super().forward(hidden, timeline, state, at)
        self.own = {name: x for name, x in after.items() if isinstance(x, Tensor)} or self.own
        return read, {name: torch.zeros_like(x) for name, x in (self.own if after else {}).items()}


class OwnTensor(Tensor):
    """What only a process that knows the class can load."""


class KeepsOwnTensors(MeanReadout):
    def forward(
        self, hidden: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> Result:
        read, after = super().forward(hidden, timeline, state, at)
        return read, {name: x.as_subclass(OwnTensor) for name, x in after.items() if isinstance(x, Tensor)}


FAULTS: list[tuple[type[Readout], str]] = [
    (PutsSampleLast, "shapes: the first axis of a state is the sample"),
    (RoundsInSingle, "precision: float32 agrees with float64 to 1e-3"),
    (AddsOne, "empty: a sample that has had no step reads as zeros"),
    (SkipsEmpty, "empty: reads are on the graph, also where there is no step"),
    (HasPenalty, "empty: no steps, no gradient; key.weight has some"),
    (DoublesTheDefault, "last: `at` None reads each sample's last step"),
    (RootOfZero, "last: gradients are finite"),
    (HasVainParameter, "last: every parameter matters for some read; the gradient of idle is zero"),
    (ForgetsWhenAsked, r"chunks: chunks of 1 step\(s\), the state carried on, read what the whole reads"),
    (ForgetsByDefault, r"chunks: chunks of 1 step\(s\), the state carried on, read what the whole reads"),
    (ReadsNothingOfTheIdle, "rows: without a new step the read stays"),
    (KeepsStateByPlace, "rows: a state's rows can be taken and reordered with their samples"),
    (KeepsOwnTensors, "saving: what is remembered can be saved and loaded"),
    (CentersOverBatch, "company: a sample alone reads as it does in a batch"),
    (ReturnsDouble, "precision: float32 inputs give float32 reads"),
    (ReturnsOther, "shapes: reads have shape"),
    (DropsHidden, "repeatable: the same call gives the same numbers"),
    (ChangesHidden, "inputs: inputs are left as they are"),
    (KeepsStateOnModule, "rows: |saving: "),
    (ForgetsState, "the state carried on, read what the whole reads"),
    (MixesSamples, "reads as it does in a batch|`at` None reads"),
    (CumulatesOverBatch, "reads depend on no later step, nor on other samples"),
    (CarriesOnlyTheLast, "rows without a step keep their state|read what the whole reads"),
    (LooksAhead, "reads depend on no later step"),
    (DetachesState, r"read what the whole reads \(gradient of"),
    (Overflows, "reads and state are finite"),
    (HasIdleParameter, "every trainable parameter gets a gradient.*idle has none"),
    (ResetsIdleRows, "rows without a step keep their state|read what the whole reads"),
]


@pytest.mark.parametrize(("readout_class", "rule"), FAULTS, ids=[c.__name__ for c, _ in FAULTS])
def test_planted_fault_is_caught(readout_class: type[Readout], rule: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match=rule) as caught:
        check_readout(readout_class(5), 5)
    assert str(caught.value).startswith(f"{readout_class.__name__}: ")


def test_scan_is_what_a_loop_gives() -> None:
    timeline = Timeline(torch.tensor([0, 0, 5, 6, 17]), torch.zeros(17), torch.zeros(17))
    x = torch.arange(17.0).double()[:, None]
    summed = prefix_scan(lambda a, b: {"x": a["x"] + b["x"]}, {"x": x}, timeline)["x"]
    expected = torch.cat([part.cumsum(0) for part in x.split([0, 5, 1, 11])])
    assert torch.equal(summed, expected)
