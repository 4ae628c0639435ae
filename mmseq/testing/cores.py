"""The contract of a core."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from mmseq.batch import Timeline
from mmseq.cores import Core, cores
from mmseq.state import State, flatten, map_state
from mmseq.testing.build import chunks, random_timeline, take_samples, take_steps
from mmseq.testing.compare import finite, gradients, require, require_close, require_same, saved
from mmseq.testing.configs import built
from mmseq.testing.contract import Case, Check, Contract, DoesNotApply
from mmseq.testing.core_trial import CoreTrial

WIDTH = 5


def check_core(core: Core, width: int, *, seed: int = 0) -> None:
    """Checks that a core keeps what every other part relies on; the core itself is left as it is.

    Args:
        core: as it would be built for inputs of `width` features.
        width: size of the inputs.
        seed: of the inputs that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    for case in _ways(lambda: core, width, seed):
        case.require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options, in evaluation and with dropout masks."""

    def build() -> Core:
        torch.manual_seed(seed)
        return cores.build(built(cores, kind, options), WIDTH)

    return _ways(build, WIDTH, seed)


def _ways(build: Callable[[], Core], width: int, seed: int) -> list[Case[CoreTrial]]:
    def case(noise: int | None, what: str) -> Case[CoreTrial]:
        def trial() -> CoreTrial:
            return CoreTrial(build(), width, torch.Generator().manual_seed(seed), noise)

        return Case(CONTRACT, trial, what)

    return [case(None, "evaluation"), case(1, "training")]


def _check_shapes(trial: CoreTrial) -> None:
    outputs, state = trial.run(trial.inputs, trial.timeline)
    shape, n_samples = (trial.timeline.n_steps, trial.core.hidden), trial.timeline.n_samples
    good = outputs.shape == shape and outputs.dtype == torch.float64
    rule = f"outputs have shape (step, hidden) = {shape} and the dtype of the inputs, float64"
    came = f"{tuple(outputs.shape)} of {outputs.dtype}"
    require(good, trial.core, rule, came, "return `core.hidden` numbers a step, in the dtype that came in")
    for name, value in flatten(state).items():
        good = value.ndim > 0 and len(value) == n_samples
        came = f"{name} has shape {tuple(value.shape)} for {n_samples} samples"
        rule = "the first axis of every state tensor is the sample"
        require(good, trial.core, rule, came, "put the sample first")


def _check_finite(trial: CoreTrial) -> None:
    outputs, state = trial.run(trial.inputs, trial.timeline)
    good = finite({"outputs": outputs, **flatten(state)})
    require(good, trial.core, "outputs and state are finite", "inf or NaN came", "bound the recurrence")


def _check_inputs(trial: CoreTrial) -> None:
    given = trial.inputs.clone()
    trial.run(trial.inputs, trial.timeline)
    good = torch.equal(trial.inputs, given)
    require(good, trial.core, "inputs are left as they are", "they changed", "work on a copy")


def _check_repeatable(trial: CoreTrial) -> None:
    outputs, again = (trial.run(trial.inputs, trial.timeline)[0] for _ in range(2))
    rule, remedy = "the same call gives the same numbers", "draw random numbers with mmseq.random.Dropout"
    require(torch.equal(outputs, again), trial.core, rule, "they differ", remedy)


def _check_precision(trial: CoreTrial) -> None:
    single = copy.deepcopy(trial.core).float()
    with torch.no_grad():
        rough, _ = single(trial.inputs.float(), trial.timeline)
    rule, remedy = "float32 inputs give float32 outputs", "follow the inputs' dtype"
    require(rough.dtype == torch.float32, trial.core, rule, f"{rough.dtype} came", remedy)
    rule, remedy = "float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    outputs, _ = trial.run(trial.inputs, trial.timeline)
    require_close(rough.double(), outputs, trial.core, rule, remedy, 1e-3)


def _need_causal(trial: CoreTrial) -> None:
    if not trial.core.causal:
        raise DoesNotApply("the core declares causal = False: it cannot stream")


def _check_empty(trial: CoreTrial) -> None:
    """No samples, or samples without steps: nothing comes out, and each parameter gets a zero gradient."""
    for lengths in ((), (0, 0, 0)):
        noise = None if trial.timeline.noise is None else 1
        timeline = random_timeline(
            lengths,
            trial.generator,
            continues=trial.timeline.continues,
            noise=noise,
            marks=trial.core.marks,
        )
        outputs, _ = trial.core(trial.randn(0, trial.width), timeline)
        rule = f"a batch of {len(lengths)} samples without steps gives outputs (0, hidden), on the graph"
        good = outputs.shape == (0, trial.core.hidden) and outputs.requires_grad == trial.trainable
        came = f"{tuple(outputs.shape)}, requires_grad={outputs.requires_grad}"
        require(good, trial.core, rule, came, "compute them from the empty inputs with all parameters")
        if not outputs.requires_grad:
            continue
        outputs.sum().backward()
        for name, grad in gradients(trial.core).items():
            good = not bool(grad.any())
            require(
                good, trial.core, "no steps, no gradient", f"{name} has some", "keep penalties out of a core"
            )


def _check_gradients(trial: CoreTrial) -> None:
    found = trial.learn(trial.whole(), carry=False)
    require(finite(found), trial.core, "gradients are finite", "inf or NaN came", "bound the recurrence")
    for name, grad in found.items():
        rule, remedy = "every parameter matters for some output", "drop the parameter, or use it"
        require(bool(grad.any()), trial.core, rule, f"the {name} is zero", remedy)


def _check_company(trial: CoreTrial) -> None:
    """Alone, in a batch, in another order: the same."""
    expected = trial.learn(trial.whole(), carry=False)
    n = trial.timeline.n_samples
    order = torch.randperm(n, generator=trial.generator).tolist()
    remedy = "let no sample's numbers depend on other samples of the batch, nor on its place in it"
    orders = {"alone": [[i] for i in range(n)], "in another order": [order]}
    for how, groups in orders.items():
        actual = trial.learn([take_samples(trial.timeline, group) for group in groups], carry=False)
        require_same(actual, expected, trial.core, f"a sample {how} gives what it gives in a batch", remedy)


def _check_future(trial: CoreTrial) -> None:
    """Other values at later steps leave the outputs before them as they were, to the last bit."""
    _need_causal(trial)
    before, _ = trial.run(trial.inputs, trial.timeline)
    lengths, starts = trial.timeline.lengths, trial.timeline.starts
    for share in (0.3, 0.6, 0.9):
        place = torch.arange(trial.timeline.n_steps) - starts[trial.timeline.sample]
        late = place >= (share * lengths)[trial.timeline.sample]
        changed = torch.where(late[:, None], trial.randn(*trial.inputs.shape) * 10, trial.inputs)
        after, _ = trial.run(changed, trial.timeline)
        rule = "a causal core's outputs depend on no later step"
        remedy = "look at earlier steps only, or declare causal = False"
        require(torch.equal(after[~late], before[~late]), trial.core, rule, "they changed", remedy)


def _check_chunks(trial: CoreTrial) -> None:
    """Whole, in chunks, one step at a time: the same outputs, gradients and final state."""
    _need_causal(trial)
    expected = trial.learn(trial.whole(), carry=False)
    _, end = trial.run(trial.inputs, trial.timeline)
    remedy = "return everything that later steps depend on in the state, with its gradient, and start from it"
    for size in (7, 4, 1):
        parts = chunks(trial.timeline, size)
        rule = f"chunks of {size} steps, the state carried on, give what the whole gives"
        require_same(trial.learn(parts, carry=True), expected, trial.core, rule, remedy)
        state: State | None = None
        for timeline, where in parts:
            _, state = trial.run(trial.inputs[where], timeline, state)
        require_same(flatten(state or {}), flatten(end), trial.core, f"{rule} (final state)", remedy)


def _check_rows(trial: CoreTrial) -> None:
    """Rows of a state can be taken, reordered, and left without a step."""
    _need_causal(trial)
    expected, _ = trial.run(trial.inputs, trial.timeline)
    (first, there), *rest = chunks(trial.timeline, 4)
    _, state = trial.run(trial.inputs[there], first)
    _check_idle(trial, first, state)
    order = list(reversed(range(0, first.n_samples, 2)))
    rows = torch.tensor(order)
    state = map_state(lambda part: part[rows], state)
    rule = "a state's rows can be taken and reordered with their samples"
    for timeline, where in rest:
        part, inside = take_samples(timeline, order)
        outputs, state = trial.run(trial.inputs[where[inside]], part, state)
        remedy = "keep all memory in the state, one row a sample"
        require_close(outputs, expected[where[inside]], trial.core, rule, remedy)


def _check_idle(trial: CoreTrial, timeline: Timeline, state: State) -> None:
    nobody = [0] * timeline.n_samples
    idle, _ = take_steps(timeline, nobody, nobody)
    _, after = trial.run(trial.randn(0, trial.width), idle, state)
    rule, remedy = "rows without a step keep their state", "write only the rows that have a step"
    require_same(flatten(after), flatten(state), trial.core, rule, remedy)


def _check_saving(trial: CoreTrial) -> None:
    """A state that is saved and loaded goes on in another process as in this one."""
    _need_causal(trial)
    other = copy.deepcopy(trial.core)
    first, second, *_ = chunks(trial.timeline, 5)
    _, state = trial.run(trial.inputs[first[1]], first[0])
    loaded = saved(state, trial.core)
    expected, _ = trial.run(trial.inputs[second[1]], second[0], state)
    with torch.no_grad():
        outputs, _ = other(trial.inputs[second[1]], second[0], loaded)
    rule = "a state that was saved goes on in another process as in this one, to the last bit"
    remedy = "keep memory in the state, not on the module, and let calls leave a state as it was"
    require(torch.equal(outputs, expected), trial.core, rule, "it did not", remedy)


CONTRACT: Contract[CoreTrial] = (
    Check(
        "shapes",
        "returns (step, hidden) in the inputs' dtype; a state's first axis is the sample",
        _check_shapes,
    ),
    Check("finite", "outputs and state are finite", _check_finite),
    Check("inputs", "leaves its inputs as they are", _check_inputs),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("precision", "float32 stays float32, and agrees with float64 to 1e-3", _check_precision),
    Check("gradients", "every parameter gets a finite gradient, not zero for all steps", _check_gradients),
    Check("empty", "no samples, or samples without steps, give (0, hidden) and zero gradients", _check_empty),
    Check("company", "a sample alone, in a batch or in another order gives the same", _check_company),
    Check("future", "outputs depend on no later step, to the last bit", _check_future),
    Check(
        "chunks", "chunks and single steps, the state carried on, give what the whole gives", _check_chunks
    ),
    Check("rows", "a state's rows can be taken, reordered and left without a step", _check_rows),
    Check("saving", "a state that was saved and loaded goes on the same, to the last bit", _check_saving),
)
