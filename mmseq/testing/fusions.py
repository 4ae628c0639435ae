"""The contract of a fusion."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmseq.fusions import Fusion, Seen, fusions
from mmseq.testing.compare import finite, gradients, require, require_close, require_same
from mmseq.testing.configs import built
from mmseq.testing.contract import Case, Check, Contract

N_STEPS, N_CLOCK = 64, 2
NAMES = ("values", "labs", "type")  # words that a torch module has as attributes, too


def check_fusion(fusion: Fusion, modalities: Sequence[str], n_clock: int, *, seed: int = 0) -> None:
    """Checks that a fusion keeps what every other part relies on; itself it is left as it is.

    Args:
        fusion: as it would be built.
        modalities: the names that it was built for.
        n_clock: the number of clock features that it was built for.
        seed: of the inputs that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    Case(CONTRACT, lambda: FusionTrial(fusion, modalities, n_clock, seed)).require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, for several modalities and for one."""

    def case(names: tuple[str, ...], what: str) -> Case[FusionTrial]:
        def trial() -> FusionTrial:
            torch.manual_seed(seed)
            fusion = fusions.build(built(fusions, kind, options), names, N_CLOCK)
            return FusionTrial(fusion, names, N_CLOCK, seed)

        return Case(CONTRACT, trial, what)

    return [case(NAMES, "three modalities"), case(NAMES[:1], "one modality")]


class FusionTrial:
    """A fresh copy of the fusion in float64, and steps at which modalities come, go and are never seen."""

    def __init__(self, fusion: Fusion, modalities: Sequence[str], n_clock: int, seed: int) -> None:
        self.fusion = copy.deepcopy(fusion).double()
        generator = torch.Generator().manual_seed(seed)

        def randn(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.seen = {name: _random_seen(randn, fusion.width) for name in modalities}
        self.clock = randn(N_STEPS, n_clock)
        self.loss = randn(N_STEPS, fusion.width)
        self.order = torch.randperm(N_STEPS, generator=generator)

    def run(self, seen: Mapping[str, Seen]) -> Tensor:
        with torch.no_grad():
            return self.fusion(seen, self.clock)

    def learn(self, parts: Sequence[Tensor]) -> dict[str, Tensor]:
        """Outputs, and gradients of a fixed loss, of the steps taken in these parts."""
        seen = {n: replace(s, values=s.values.clone().requires_grad_()) for n, s in self.seen.items()}
        outputs = torch.zeros_like(self.loss)
        for rows in parts:
            part = {name: _take(one, rows) for name, one in seen.items()}
            outputs = outputs.index_copy(0, rows, self.fusion(part, self.clock[rows]))
        total = (outputs * self.loss).sum()
        if total.requires_grad:
            total.backward()
        found = {f"gradient of {name}": grad for name, grad in gradients(self.fusion).items()}
        for name, one in seen.items():
            came = "it has none" if one.values.grad is None else ""
            rule = f"every modality matters: the values of {name!r} get a gradient"
            require(one.values.grad is not None, self.fusion, rule, came, "use all of `seen`")
            assert one.values.grad is not None
            found[f"gradient of the values of {name!r}"] = one.values.grad
        return {"outputs": outputs.detach(), **found}

    def steps(self) -> Tensor:
        return torch.arange(N_STEPS)


def _random_seen(randn: Callable[..., Tensor], width: int) -> Seen:
    present = randn(N_STEPS) > 0
    never = randn(N_STEPS) > 0.8
    age = torch.where(present, 0.0, randn(N_STEPS).abs())
    values = randn(N_STEPS, width)
    return Seen(
        torch.where(never[:, None], 0.0, values), present & ~never, torch.where(never, -1.0, age).double()
    )


def _take(seen: Seen, rows: Tensor) -> Seen:
    return Seen(seen.values[rows], seen.present[rows], seen.age[rows])


def _check_shapes(trial: FusionTrial) -> None:
    outputs = trial.run(trial.seen)
    shape = (N_STEPS, trial.fusion.width)
    good = outputs.shape == shape and outputs.dtype == torch.float64
    rule = f"outputs have shape (step, width) = {shape} and the dtype of the inputs, float64"
    came = f"{tuple(outputs.shape)} of {outputs.dtype}"
    require(good, trial.fusion, rule, came, "return `fusion.width` numbers a step")


def _check_finite(trial: FusionTrial) -> None:
    good = finite({"outputs": trial.run(trial.seen)})
    require(good, trial.fusion, "outputs are finite", "inf or NaN came", "bound them")


def _check_inputs(trial: FusionTrial) -> None:
    given = {name: seen.values.clone() for name, seen in trial.seen.items()}
    trial.run(trial.seen)
    good = all(torch.equal(seen.values, given[name]) for name, seen in trial.seen.items())
    require(good, trial.fusion, "what is seen is left as it is", "it changed", "work on a copy")


def _check_repeatable(trial: FusionTrial) -> None:
    rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
    good = torch.equal(trial.run(trial.seen), trial.run(trial.seen))
    require(good, trial.fusion, rule, "they differ", remedy)


def _check_never_seen(trial: FusionTrial) -> None:
    nothing = Seen(
        torch.zeros(N_STEPS, trial.fusion.width, dtype=torch.float64),
        torch.zeros(N_STEPS, dtype=torch.bool),
        torch.full((N_STEPS,), -1.0, dtype=torch.float64),
    )
    trial.seen = dict.fromkeys(trial.seen, nothing)
    found = trial.learn([trial.steps()])
    rule = "outputs and gradients are finite where no modality was ever seen"
    remedy = "divide by no number of present modalities, and by no norm, that can be 0"
    require(finite(found), trial.fusion, rule, "inf or NaN came", remedy)


def _check_empty(trial: FusionTrial) -> None:
    none = trial.steps()[:0]
    outputs = trial.fusion({name: _take(seen, none) for name, seen in trial.seen.items()}, trial.clock[none])
    trainable = any(parameter.requires_grad for parameter in trial.fusion.parameters())
    good = outputs.shape == (0, trial.fusion.width) and outputs.requires_grad == trainable
    came = f"{tuple(outputs.shape)}, requires_grad={outputs.requires_grad}"
    rule, remedy = "no steps give outputs (0, width), on the graph", "compute them from the empty inputs"
    require(good, trial.fusion, rule, came, remedy)
    if not trainable:
        return
    outputs.sum().backward()
    for name, grad in gradients(trial.fusion).items():
        came, remedy = f"{name} has some", "keep penalties out of a fusion"
        require(not bool(grad.any()), trial.fusion, "no steps, no gradient", came, remedy)


def _check_gradients(trial: FusionTrial) -> None:
    found = trial.learn([trial.steps()])
    require(finite(found), trial.fusion, "gradients are finite", "inf or NaN came", "bound the outputs")
    for name, grad in found.items():
        rule, remedy = "every parameter and modality matters for some step", "drop it, or use it"
        require(bool(grad.any()), trial.fusion, rule, f"the {name} is zero", remedy)


def _check_company(trial: FusionTrial) -> None:
    """Alone, with others, in another order: the same."""
    expected = trial.learn([trial.steps()])
    ways = {"alone": list(trial.steps().split(1)), "in another order": [trial.order]}
    for how, parts in ways.items():
        rule = f"a step {how} gives what it gives among others"
        remedy = "let a step's vector depend on that step only: no statistics over the batch, no memory"
        require_same(trial.learn(parts), expected, trial.fusion, rule, remedy)


def _check_names(trial: FusionTrial) -> None:
    other = dict(reversed(trial.seen.items()))
    good = torch.equal(trial.run(other), trial.run(trial.seen))
    rule = "modalities are told apart by name, not by their order in `seen`"
    require(good, trial.fusion, rule, "the outputs differ", "go through the names it was built with")


def _check_precision(trial: FusionTrial) -> None:
    single = copy.deepcopy(trial.fusion).float()
    seen = {n: Seen(s.values.float(), s.present, s.age.float()) for n, s in trial.seen.items()}
    with torch.no_grad():
        rough = single(seen, trial.clock.float())
    rule, remedy = "float32 inputs give float32 outputs", "follow the inputs' dtype"
    require(rough.dtype == torch.float32, trial.fusion, rule, f"{rough.dtype} came", remedy)
    rule, remedy = "float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    require_close(rough.double(), trial.run(trial.seen), trial.fusion, rule, remedy, 1e-3)


CONTRACT: Contract[FusionTrial] = (
    Check("shapes", "returns (step, width), in the dtype of the inputs", _check_shapes),
    Check("finite", "numbers are finite", _check_finite),
    Check("inputs", "leaves what is seen as it is", _check_inputs),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("never seen", "all is finite where no modality was ever seen", _check_never_seen),
    Check("gradients", "every parameter and every modality gets a gradient, not zero", _check_gradients),
    Check("empty", "no steps give (0, width), on the graph, with a zero gradient each", _check_empty),
    Check("company", "a step alone, among others or in another order gives the same", _check_company),
    Check("names", "modalities are told apart by name, not by their order", _check_names),
    Check("precision", "float32 stays float32, and agrees with float64 to 1e-3", _check_precision),
)
