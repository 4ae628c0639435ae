"""Every encoder keeps the contract, and the contract catches an encoder that does not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmseq.batch import NumericEvents
from mmseq.encoders import Encoder, encoders
from mmseq.encoders.linear import LinearEncoder
from mmseq.testing import check_kind
from mmseq.testing.encoders import check_encoder
from mmseq.testing.events import example_events

WIDTH = 5


@pytest.mark.parametrize("kind", encoders.kinds())
def test_contract(kind: str) -> None:
    check_kind("encoders", kind)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("mlp", {"layers": 2}),
    ("project", {"rank": 2}),
    ("bag", {"pairs": 20}),
    ("text", {"core": {"kind": "bidirectional"}, "readout": {"kind": "attention"}}),
]


@pytest.mark.parametrize(("kind", "options"), OPTIONS)
def test_contract_of_options(kind: str, options: dict[str, Any]) -> None:
    check_kind("encoders", kind, **options)


class CentersOverBatch(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        return encoded - encoded.mean(0) if len(encoded) else encoded


class RemembersLast(LinearEncoder):
    last: Tensor | float = 0.0

    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events) + self.last
        if len(encoded):
            self.last = encoded[-1].detach()
        return encoded


class LooksAtNeighbour(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        return encoded + 1e-3 * encoded.roll(1, 0)


class KnowsItsPlace(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        return super().forward(events) + events.step[:, None] / 100


class HasIdleParameter(LinearEncoder):
    def __init__(self, spec: object, width: int) -> None:
        super().__init__(spec, width)
        self.idle = nn.Parameter(torch.ones(3))


class HasVainParameter(HasIdleParameter):
    def forward(self, events: NumericEvents) -> Tensor:
        return super().forward(events) + 0 * self.idle.sum()


class SkipsEmpty(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        return super().forward(events) if len(events) else torch.zeros(0, WIDTH, dtype=torch.float64)


class AveragesObserved(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        mean = (events.values * events.observed).sum(1) / events.observed.sum(1)
        return super().forward(events) + mean[:, None]


class RootOfZero(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events) * events.observed.any(1)[:, None]
        return encoded / (1 + encoded.square().sum(1, keepdim=True).sqrt())


class ChangesEvents(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        events.values.clamp_(max=0.5)
        return encoded


class DropsValues(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        return nn.functional.dropout(super().forward(events), 0.1)


class ReturnsDouble(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        return super().forward(events).double()


class ReturnsOther(LinearEncoder):
    def forward(self, events: NumericEvents) -> Tensor:
        return super().forward(events)[:, :-1]


class TrainsOnTheBatch(LinearEncoder):
    """Running statistics: in training, of the batch; later, of whatever was seen."""

    def __init__(self, spec: object, width: int) -> None:
        super().__init__(spec, width)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        return self.norm(encoded) if len(encoded) > 1 else encoded + 0 * self.norm.weight.sum()


class CentersByLearntShare(LinearEncoder):
    """The mean of no events has no gradient: 0 / 0."""

    def __init__(self, spec: object, width: int) -> None:
        super().__init__(spec, width)
        self.share = nn.Parameter(torch.ones(()))

    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        return encoded - self.share * encoded.mean()


class RoundsInSingle(LinearEncoder):
    """As under autocast: bfloat16 between float32 and float32."""

    def forward(self, events: NumericEvents) -> Tensor:
        encoded = super().forward(events)
        return encoded.bfloat16().float() if encoded.dtype == torch.float32 else encoded


FAULTS: list[tuple[type[Encoder], str]] = [
    (CentersByLearntShare, "empty: no events, no gradient; share has some"),
    (RoundsInSingle, "precision: float32 agrees with float64 to 1e-3"),
    (TrainsOnTheBatch, "company: an event alone is encoded as it is among others|every trainable"),
    (CentersOverBatch, "an event alone is encoded as it is among others"),
    (RemembersLast, "the same call gives the same numbers"),
    (LooksAtNeighbour, "an event alone is encoded as it is among others"),
    (KnowsItsPlace, "does not depend on which step"),
    (HasIdleParameter, "gradients: every trainable parameter gets a gradient.*idle has none"),
    (HasVainParameter, "every parameter matters.*idle is zero"),
    (SkipsEmpty, r"no events give outputs \(0, width\), on the graph"),
    (AveragesObserved, "outputs are finite, also where all is missing"),
    (RootOfZero, "gradients are finite"),
    (ChangesEvents, "events are left as they are"),
    (DropsValues, "the same call gives the same numbers"),
    (ReturnsDouble, "float32 events and weights give float32 outputs"),
    (ReturnsOther, "outputs have shape"),
]


@pytest.mark.parametrize(("encoder_class", "rule"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_planted_fault_is_caught(encoder_class: type[Encoder], rule: str) -> None:
    torch.manual_seed(0)
    spec, events = example_events(NumericEvents)
    with pytest.raises(AssertionError, match=rule) as caught:
        check_encoder(encoder_class(spec, WIDTH), events, WIDTH)
    assert str(caught.value).startswith(f"{encoder_class.__name__}: ")
    assert str(caught.value).count("; ") >= 2  # rule; what came; what to do


def test_that_it_reads_no_type_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class NamesWhatItReads(LinearEncoder):
        reads: Any = "numeric"

    monkeypatch.setitem(encoders._classes, "linear", (encoders.config_class("linear"), NamesWhatItReads))
    with pytest.raises(AssertionError, match="shapes: `reads` is the type of its events; 'numeric' came"):
        check_kind("encoders", "linear")


def test_events_that_no_modality_gives_must_be_passed() -> None:
    class OtherEvents(NumericEvents):
        pass

    with pytest.raises(LookupError, match="no modality gives OtherEvents"):
        example_events(OtherEvents)
