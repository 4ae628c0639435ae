"""The contract of an encoder."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmseq.batch import Events
from mmseq.encoders import Encoder, encoders
from mmseq.testing.compare import finite, gradients, require, require_close, require_same
from mmseq.testing.configs import built
from mmseq.testing.contract import Case, Check, Contract, DoesNotApply
from mmseq.testing.events import example_events, take_events, tensors_of

WIDTH = 5


def check_encoder(encoder: Encoder, events: Events, width: int, *, seed: int = 0) -> None:
    """Checks that an encoder keeps what every other part relies on; itself it is left as it is.

    Args:
        encoder: as it would be built.
        events: some that it can encode, in float64, with missing values among them:
            `mmseq.testing.events.example_events(encoder.reads)` makes such, and the spec to build it from.
        width: size of its outputs.
        seed: of the loss that is tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    Case(CONTRACT, lambda: EncoderTrial(encoder, events, width, seed)).require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, over the events of a modality that gives what it reads."""

    def trial() -> EncoderTrial:
        torch.manual_seed(seed)
        cls = encoders.component_class(kind)
        rule, remedy = "`reads` is the type of its events", "set it, to NumericEvents say"
        reads = getattr(cls, "reads", None)
        require(isinstance(reads, type), cls.__name__, rule, f"{reads!r} came", remedy)
        spec, events = example_events(cls.reads, seed)
        encoder = encoders.build(built(encoders, kind, options), spec, WIDTH)
        return EncoderTrial(encoder, events, WIDTH, seed)

    return [Case(CONTRACT, trial)]


class EncoderTrial:
    """A fresh copy of the encoder in float64, and events for it."""

    def __init__(self, encoder: Encoder, events: Events, width: int, seed: int) -> None:
        self.encoder = copy.deepcopy(encoder).double()
        self.events = replace(events, **{name: value.clone() for name, value in tensors_of(events).items()})
        self.width = width
        generator = torch.Generator().manual_seed(seed)
        self.loss = torch.randn(len(events), width, generator=generator, dtype=torch.float64)
        self.order = torch.randperm(len(events), generator=generator)

    def rows(self) -> Tensor:
        return torch.arange(len(self.events))

    def run(self, events: Events) -> Tensor:
        with torch.no_grad():
            return self.encoder(events)

    def learn(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Outputs, and gradients of a fixed loss, of the events taken in these parts."""
        outputs = torch.zeros_like(self.loss)
        for rows in parts:
            outputs = outputs.index_copy(0, rows, self.encoder(take_events(self.events, rows)))
        total = (outputs * self.loss).sum()
        if total.requires_grad:
            total.backward()
        found = {f"gradient of {name}": grad for name, grad in gradients(self.encoder).items()}
        return {"outputs": outputs.detach(), **found}


def _check_shapes(trial: EncoderTrial) -> None:
    outputs = trial.run(trial.events)
    shape = (len(trial.events), trial.width)
    good = outputs.shape == shape and outputs.dtype == torch.float64
    rule = f"outputs have shape (event, width) = {shape} and the dtype of the weights, float64"
    came = f"{tuple(outputs.shape)} of {outputs.dtype}"
    require(good, trial.encoder, rule, came, "return one row an event, of the width it was built for")


def _check_finite(trial: EncoderTrial) -> None:
    rule, remedy = "outputs are finite, also where all is missing", "divide by nothing that can be 0"
    require(finite({"outputs": trial.run(trial.events)}), trial.encoder, rule, "inf or NaN came", remedy)


def _check_inputs(trial: EncoderTrial) -> None:
    given = {name: value.clone() for name, value in tensors_of(trial.events).items()}
    trial.run(trial.events)
    good = all(torch.equal(value, given[name]) for name, value in tensors_of(trial.events).items())
    require(good, trial.encoder, "events are left as they are", "they changed", "work on a copy")


def _check_repeatable(trial: EncoderTrial) -> None:
    good = torch.equal(trial.run(trial.events), trial.run(trial.events))
    rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
    require(good, trial.encoder, rule, "they differ", remedy)


def _check_empty(trial: EncoderTrial) -> None:
    outputs = trial.encoder(take_events(trial.events, trial.rows()[:0]))
    trainable = any(parameter.requires_grad for parameter in trial.encoder.parameters())
    good = outputs.shape == (0, trial.width) and outputs.requires_grad == trainable
    came = f"{tuple(outputs.shape)}, requires_grad={outputs.requires_grad}"
    rule, remedy = "no events give outputs (0, width), on the graph", "compute them from the empty events"
    require(good, trial.encoder, rule, came, remedy)
    if not trainable:
        return
    outputs.sum().backward()
    for name, grad in gradients(trial.encoder).items():
        came, remedy = f"{name} has some", "keep penalties out of an encoder"
        require(not bool(grad.any()), trial.encoder, "no events, no gradient", came, remedy)


def _check_gradients(trial: EncoderTrial) -> None:
    if not any(parameter.requires_grad for parameter in trial.encoder.parameters()):
        raise DoesNotApply("it has no parameter to train")
    found = trial.learn([trial.rows()])
    rule, remedy = "gradients are finite, also where all is missing", "look for 0/0, log 0 or sqrt 0"
    require(finite(found), trial.encoder, rule, "inf or NaN came", remedy)
    for name, grad in found.items():
        rule, remedy = "every parameter matters for some event", "drop the parameter, or use it"
        require(bool(grad.any()), trial.encoder, rule, f"the {name} is zero", remedy)


def _check_company(trial: EncoderTrial) -> None:
    """Alone, with others, in another order: the same."""
    expected = trial.learn([trial.rows()])
    ways = {"alone": list(trial.rows().split(1)), "in another order": [trial.order]}
    for how, parts in ways.items():
        rule = f"an event {how} is encoded as it is among others"
        remedy = "let an event's vector depend on that event only: no statistics over the batch, no memory"
        require_same(trial.learn(parts), expected, trial.encoder, rule, remedy)


def _check_place(trial: EncoderTrial) -> None:
    moved = replace(trial.events, step=trial.events.step + 1000)
    good = torch.equal(trial.run(moved), trial.run(trial.events))
    rule = "an event's vector does not depend on which step of the batch it stands at"
    require(good, trial.encoder, rule, "it does", "leave `events.step` to the model; times are in `age`")


def _check_precision(trial: EncoderTrial) -> None:
    single = copy.deepcopy(trial.encoder).float()
    values = {k: v.float() if v.is_floating_point() else v for k, v in tensors_of(trial.events).items()}
    with torch.no_grad():
        rough = single(replace(trial.events, **values))
    rule, remedy = "float32 events and weights give float32 outputs", "follow the dtype of the weights"
    require(rough.dtype == torch.float32, trial.encoder, rule, f"{rough.dtype} came", remedy)
    rule, remedy = "float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    require_close(rough.double(), trial.run(trial.events), trial.encoder, rule, remedy, 1e-3)


CONTRACT: Contract[EncoderTrial] = (
    Check("shapes", "returns (event, width), in the dtype of its weights", _check_shapes),
    Check("finite", "numbers are finite, also for events of which all is missing", _check_finite),
    Check("inputs", "leaves the events as they are", _check_inputs),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("gradients", "every parameter gets a finite gradient, not zero for all events", _check_gradients),
    Check("empty", "no events give (0, width), on the graph, with a zero gradient each", _check_empty),
    Check("company", "an event alone, among others or in another order gives the same", _check_company),
    Check("place", "an event gives the same at whatever step of the batch it stands", _check_place),
    Check("precision", "float32 stays float32, and agrees with float64 to 1e-3", _check_precision),
)
