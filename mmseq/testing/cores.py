"""The contract of a core."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence

import torch

from mmseq.batch import Timeline
from mmseq.cores import Core
from mmseq.state import State, flatten, map_state
from mmseq.testing.build import chunks, random_timeline, take_samples, take_steps
from mmseq.testing.compare import finite, gradients, require, require_close, require_same
from mmseq.testing.core_trial import CoreTrial


def check_core(core: Core, width: int, *, seed: int = 0) -> None:
    """Checks that a core keeps what every other part relies on; the core itself is left as it is.

    Args:
        core: as it would be built for inputs of `width` features.
        width: size of the inputs.
        seed: of the inputs that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    generator = torch.Generator().manual_seed(seed)
    rules: Sequence[Callable[[CoreTrial], None]] = (
        _check_shapes,
        _check_numbers,
        _check_empty,
        _check_gradients,
        _check_batch,
        _check_future,
        _check_chunks,
        _check_rows,
        _check_resume,
    )
    for noise in (None, 1):
        for rule in rules:
            rule(CoreTrial(core, width, generator, noise))


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


def _check_numbers(trial: CoreTrial) -> None:
    given = trial.inputs.clone()
    outputs, state = trial.run(trial.inputs, trial.timeline)
    good = finite({"outputs": outputs, **flatten(state)})
    require(good, trial.core, "outputs and state are finite", "inf or NaN came", "bound the recurrence")
    good = torch.equal(trial.inputs, given)
    require(good, trial.core, "inputs are left as they are", "they changed", "work on a copy")
    again, _ = trial.run(trial.inputs, trial.timeline)
    rule, remedy = "the same call gives the same numbers", "draw random numbers with mmseq.random.Dropout"
    require(torch.equal(outputs, again), trial.core, rule, "they differ", remedy)
    single = copy.deepcopy(trial.core).float()
    with torch.no_grad():
        rough, _ = single(trial.inputs.float(), trial.timeline)
    rule, remedy = "float32 inputs give float32 outputs", "follow the inputs' dtype"
    require(rough.dtype == torch.float32, trial.core, rule, f"{rough.dtype} came", remedy)
    rule, remedy = "float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    require_close(rough.double(), outputs, trial.core, rule, remedy, 1e-3)


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


def _check_batch(trial: CoreTrial) -> None:
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
    if not trial.core.causal:
        return
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
    if not trial.core.causal:
        return
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
    if not trial.core.causal:
        return
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


def _check_resume(trial: CoreTrial) -> None:
    """A state that is saved and loaded goes on in another process as in this one."""
    if not trial.core.causal:
        return
    other = copy.deepcopy(trial.core)
    first, second, *_ = chunks(trial.timeline, 5)
    _, state = trial.run(trial.inputs[first[1]], first[0])
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    expected, _ = trial.run(trial.inputs[second[1]], second[0], state)
    with torch.no_grad():
        outputs, _ = other(trial.inputs[second[1]], second[0], torch.load(file, weights_only=True))
    rule = "a state that was saved goes on in another process as in this one, to the last bit"
    remedy = "keep memory in the state, not on the module, and let calls leave a state as it was"
    require(torch.equal(outputs, expected), trial.core, rule, "it did not", remedy)
