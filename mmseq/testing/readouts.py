"""The contract of a readout."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.readouts import Readout, readouts
from mmseq.state import State, flatten, map_state
from mmseq.testing.build import LENGTHS, chunks, random_timeline, take_samples
from mmseq.testing.compare import finite, gradients, require, require_close, require_same, saved
from mmseq.testing.configs import built
from mmseq.testing.contract import Case, Check, Contract

HIDDEN = 5


def check_readout(readout: Readout, hidden: int, *, seed: int = 0) -> None:
    """Checks that a readout keeps what every other part relies on; itself it is left as it is.

    Args:
        readout: as it would be built for `hidden` units.
        hidden: size of what it reads.
        seed: of the inputs that are tried.

    Raises:
        AssertionError: a rule is broken; the message says which, and what to change.
    """
    Case(CONTRACT, lambda: ReadoutTrial(readout, hidden, torch.Generator().manual_seed(seed))).require()


def cases(kind: str, options: Mapping[str, Any], seed: int = 0) -> list[Case[Any]]:
    """A kind with these options."""

    def trial() -> ReadoutTrial:
        torch.manual_seed(seed)
        readout = readouts.build(built(readouts, kind, options), HIDDEN)
        return ReadoutTrial(readout, HIDDEN, torch.Generator().manual_seed(seed))

    return [Case(CONTRACT, trial)]


class ReadoutTrial:
    """A fresh copy of the readout in float64, and a ragged batch for it."""

    def __init__(self, readout: Readout, hidden: int, generator: torch.Generator) -> None:
        self.readout = copy.deepcopy(readout).double()
        self.generator = generator
        self.hidden = hidden
        self.timeline = random_timeline(LENGTHS, generator, continues=True)
        # Far from 0, so that a softmax or a maximum that starts at 0 shows; large, so that one overflows.
        self.inputs = self.randn(self.timeline.n_steps, hidden) * 30 - 50
        self.loss = self.randn(self.timeline.n_steps, hidden)

    def randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def steps(self) -> Tensor:
        return torch.arange(self.timeline.n_steps)

    def run(
        self, inputs: Tensor, timeline: Timeline, state: State | None = None, at: Tensor | None = None
    ) -> tuple[Tensor, State]:
        with torch.no_grad():
            return self.readout(inputs, timeline, state, at)

    def learn(
        self, parts: Sequence[tuple[Timeline, Tensor]], *, carry: bool, ends: bool
    ) -> dict[str, Tensor]:
        """What is read at every step of parts of the batch, or at the last of each; and gradients of it."""
        inputs = self.inputs.clone().requires_grad_()
        reads = torch.zeros_like(self.loss)
        state: State | None = None
        for timeline, where in parts:
            at = torch.arange(len(where))
            if ends:
                at = timeline.last[timeline.lengths > 0]
                read, after = self.readout(inputs[where], timeline, state)
                read = read[timeline.lengths > 0]
            else:
                read, after = self.readout(inputs[where], timeline, state, at)
            reads = reads.index_copy(0, where[at], read)
            state = after if carry else None
        (reads * self.loss).sum().backward()
        assert inputs.grad is not None
        weights = {f"gradient of {name}": grad for name, grad in gradients(self.readout).items()}
        return {"reads": reads.detach(), "gradient of hidden": inputs.grad, **weights}


def _check_shapes(trial: ReadoutTrial) -> None:
    readout, n = trial.readout, trial.timeline.n_samples
    for at, rows in ((None, n), (trial.steps()[::3], len(trial.steps()[::3]))):
        read, state = trial.run(trial.inputs, trial.timeline, None, at)
        came = f"{tuple(read.shape)} of {read.dtype}"
        good = read.shape == (rows, trial.hidden) and read.dtype == torch.float64
        rule = f"reads have shape (query, hidden) = {(rows, trial.hidden)} and the inputs' dtype, float64"
        require(good, readout, rule, came, "return one row a query, in the dtype that came in")
        for name, value in flatten(state).items():
            good = value.ndim > 0 and len(value) == n
            came = f"{name} has shape {tuple(value.shape)} for {n} samples"
            require(good, readout, "the first axis of a state is the sample", came, "put the sample first")


def _check_finite(trial: ReadoutTrial) -> None:
    for at in (None, trial.steps()[::3]):
        read, state = trial.run(trial.inputs, trial.timeline, None, at)
        tensors = {"reads": read, **flatten(state)}
        rule, remedy = "reads and state are finite", "rescale sums by a running maximum"
        require(finite(tensors), trial.readout, rule, "inf or NaN came", remedy)


def _check_inputs(trial: ReadoutTrial) -> None:
    given = trial.inputs.clone()
    trial.run(trial.inputs, trial.timeline)
    good = torch.equal(trial.inputs, given)
    require(good, trial.readout, "inputs are left as they are", "they changed", "work on a copy")


def _check_repeatable(trial: ReadoutTrial) -> None:
    for at in (None, trial.steps()):
        first, again = (trial.run(trial.inputs, trial.timeline, None, at)[0] for _ in range(2))
        rule, remedy = "the same call gives the same numbers", "keep no memory, and draw no random numbers"
        require(torch.equal(first, again), trial.readout, rule, "they differ", remedy)


def _check_precision(trial: ReadoutTrial) -> None:
    single = copy.deepcopy(trial.readout).float()
    with torch.no_grad():
        rough, _ = single(trial.inputs.float(), trial.timeline)
    rule, remedy = "float32 inputs give float32 reads", "follow the inputs' dtype"
    require(rough.dtype == torch.float32, trial.readout, rule, f"{rough.dtype} came", remedy)
    rule, remedy = "float32 agrees with float64 to 1e-3", "look for cancellation or overflow"
    read, _ = trial.run(trial.inputs, trial.timeline)
    require_close(rough.double(), read, trial.readout, rule, remedy, 1e-3)


def _check_empty(trial: ReadoutTrial) -> None:
    """No samples, or samples without a step so far: zeros, and each parameter gets a zero gradient."""
    for lengths in ((), (0, 0, 0)):
        timeline = random_timeline(lengths, trial.generator, continues=True)
        nothing = trial.randn(0, trial.hidden).requires_grad_()
        for at in (None, torch.zeros(0, dtype=torch.int64)):
            read, _ = trial.readout(nothing, timeline, None, at)
            good = read.shape == (len(lengths) if at is None else 0, trial.hidden) and not bool(read.any())
            rule, remedy = "a sample that has had no step reads as zeros", "start from an empty summary"
            require(good, trial.readout, rule, f"{tuple(read.shape)}, {read.tolist()}", remedy)
            good, came = read.requires_grad, "they are not"
            rule, remedy = (
                "reads are on the graph, also where there is no step",
                "compute them from the inputs",
            )
            require(good, trial.readout, rule, came, remedy)
            read.sum().backward()
            for name, grad in gradients(trial.readout).items():
                came, remedy = f"{name} has some", "keep penalties out of a readout"
                require(not bool(grad.any()), trial.readout, "no steps, no gradient", came, remedy)


def _check_last(trial: ReadoutTrial) -> None:
    """The default reads at each sample's last step; whether anyone goes on from there changes nothing."""
    stepped = trial.timeline.lengths > 0
    for continues in (True, False):
        timeline = replace(trial.timeline, continues=continues)
        read, _ = trial.run(trial.inputs, timeline)
        asked, _ = trial.run(trial.inputs, timeline, None, timeline.last[stepped])
        rule, remedy = "`at` None reads each sample's last step", "let both ways give the same"
        require_close(read[stepped], asked, trial.readout, rule, remedy)
    ends = trial.learn([(trial.timeline, trial.steps())], carry=False, ends=True)
    require(finite(ends), trial.readout, "gradients are finite", "inf or NaN came", "rescale sums")
    for name, grad in ends.items():
        rule, remedy = "every parameter matters for some read", "drop the parameter, or use it"
        require(bool(grad.any()), trial.readout, rule, f"the {name} is zero", remedy)


def _check_company(trial: ReadoutTrial) -> None:
    """Alone, in a batch, in another order: the same."""
    n = trial.timeline.n_samples
    order = torch.randperm(n, generator=trial.generator).tolist()
    remedy = "let no sample's numbers depend on other samples of the batch, nor on its place in it"
    for ends in (False, True):
        expected = trial.learn([(trial.timeline, trial.steps())], carry=False, ends=ends)
        for how, groups in {"alone": [[i] for i in range(n)], "in another order": [order]}.items():
            parts = [take_samples(trial.timeline, group) for group in groups]
            actual = trial.learn(parts, carry=False, ends=ends)
            rule = f"a sample {how} reads as it does in a batch"
            require_same(actual, expected, trial.readout, rule, remedy)


def _check_future(trial: ReadoutTrial) -> None:
    """Other values at later steps leave the reads before them as they were, to the last bit."""
    before, _ = trial.run(trial.inputs, trial.timeline, None, trial.steps())
    place = trial.steps() - trial.timeline.starts[trial.timeline.sample]
    for share in (0.3, 0.6, 0.9):
        late = place >= (share * trial.timeline.lengths)[trial.timeline.sample]
        changed = torch.where(late[:, None], trial.inputs * 10 + 7, trial.inputs)
        after, _ = trial.run(changed, trial.timeline, None, trial.steps())
        good = torch.equal(after[~late], before[~late])
        rule, remedy = "reads depend on no later step, nor on other samples", "scan within each sample"
        require(good, trial.readout, rule, "they changed", remedy)


def _check_chunks(trial: ReadoutTrial) -> None:
    """Whole, in chunks, one step at a time, asked for or by default: the same reads and gradients."""
    expected = trial.learn([(trial.timeline, trial.steps())], carry=False, ends=False)
    remedy = "keep all that a later read needs in the state, with its gradient"
    for size in (1, 4):
        rule = f"chunks of {size} step(s), the state carried on, read what the whole reads"
        parts = chunks(trial.timeline, size)
        require_same(trial.learn(parts, carry=True, ends=False), expected, trial.readout, rule, remedy)
        # With one step a call the default reads every step, too.
        if size == 1:
            require_same(trial.learn(parts, carry=True, ends=True), expected, trial.readout, rule, remedy)


def _check_rows(trial: ReadoutTrial) -> None:
    """Rows of a state can be taken and reordered; those without a step keep theirs, and read as before."""
    read, state = trial.run(trial.inputs, trial.timeline)
    none = random_timeline([0] * trial.timeline.n_samples, trial.generator, continues=True)
    rule, remedy = "rows without a step keep their state", "write only the rows that have a step"
    for at in (None, torch.zeros(0, dtype=torch.int64)):
        again, after = trial.run(trial.inputs[:0], none, state, at)
        require_same(flatten(after), flatten(state), trial.readout, rule, remedy)
        if at is None:
            require_close(again, read, trial.readout, "without a new step the read stays", remedy)
    _check_reordered(trial)


def _check_reordered(trial: ReadoutTrial) -> None:
    expected, _ = trial.run(trial.inputs, trial.timeline, None, trial.steps())
    (first, there), *rest = chunks(trial.timeline, 4)
    _, state = trial.run(trial.inputs[there], first)
    order = list(reversed(range(0, first.n_samples, 2)))
    rows = torch.tensor(order)
    state = map_state(lambda part: part[rows], state)
    for timeline, where in rest:
        part, inside = take_samples(timeline, order)
        places = where[inside]
        read, state = trial.run(trial.inputs[places], part, state, torch.arange(len(places)))
        rule = "a state's rows can be taken and reordered with their samples"
        remedy = "keep all memory in the state, one row a sample"
        require_close(read, expected[places], trial.readout, rule, remedy)


def _check_saving(trial: ReadoutTrial) -> None:
    """A state that is saved and loaded goes on in another process as in this one."""
    other = copy.deepcopy(trial.readout)
    first, second, *_ = chunks(trial.timeline, 5)
    _, state = trial.run(trial.inputs[first[1]], first[0])
    loaded = saved(state, trial.readout)
    expected, _ = trial.run(trial.inputs[second[1]], second[0], state)
    with torch.no_grad():
        read, _ = other(trial.inputs[second[1]], second[0], loaded)
    rule = "a state that was saved goes on in another process as in this one, to the last bit"
    remedy = "keep memory in the state, not on the module, and let calls leave a state as it was"
    require(torch.equal(read, expected), trial.readout, rule, "it did not", remedy)


CONTRACT: Contract[ReadoutTrial] = (
    Check(
        "shapes",
        "returns (query, hidden) in its inputs' dtype; a state's first axis is the sample",
        _check_shapes,
    ),
    Check("finite", "reads and state are finite", _check_finite),
    Check("inputs", "leaves its inputs as they are", _check_inputs),
    Check("repeatable", "the same call gives the same numbers", _check_repeatable),
    Check("precision", "float32 stays float32, and agrees with float64 to 1e-3", _check_precision),
    Check("empty", "a sample without a step so far reads as zeros, with a zero gradient each", _check_empty),
    Check("last", "without `at` it reads each sample's last step; every parameter matters", _check_last),
    Check("company", "a sample alone, in a batch or in another order reads the same", _check_company),
    Check("future", "reads depend on no later step, to the last bit", _check_future),
    Check(
        "chunks", "chunks and single steps, the state carried on, read what the whole reads", _check_chunks
    ),
    Check("rows", "a state's rows can be taken, reordered and left without a step", _check_rows),
    Check("saving", "a state that was saved and loaded goes on the same, to the last bit", _check_saving),
)
