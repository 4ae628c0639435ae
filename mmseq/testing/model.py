"""The contract of a whole model, whatever it is built of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mmseq.batch import Batch
from mmseq.batch.order import split
from mmseq.model import Model
from mmseq.random import Dropout, Noise, name_layers
from mmseq.state import State, flatten, unflatten
from mmseq.tensors import dump_tensors, parse_tensors
from mmseq.testing.batches import (
    Labels,
    batch_of,
    batches_of_steps,
    idle,
    with_other_values,
    without_events,
)
from mmseq.testing.compare import TOLERANCE, finite, gradients, require, require_close, require_same


def check_model(model: Model, batch: Batch, *, seed: int = 0) -> None:
    """Checks that a model built of any components gives the same however its inputs are cut.

    Args:
        model: any; it is left as it is.
        batch: samples of unequal length with labels, as `Assembler.batch` makes them.
        seed: of dropout masks and of other inputs.

    Raises:
        AssertionError: a rule is broken; the message says which, and where to look.
    """
    rules: Sequence[Callable[[_Trial], None]] = (
        _check_gradients,
        _check_samples,
        _check_loss_sums,
        _check_chunks,
        _check_future,
        _check_prefixes,
        _check_empty,
        _check_unobserved,
    )
    for noise in (None, seed) if _drops(model) else (None,):
        for rule in rules:
            rule(_Trial(model, batch, noise))


def _drops(model: Model) -> bool:
    rates = [config.dropout for config in model.experiment.modalities.values()]
    return any([*rates, *(module.rate for module in model.modules() if isinstance(module, Dropout))])


class _Trial:
    """A copy of the model in float64, and a batch for it, with dropout or without."""

    def __init__(self, model: Model, batch: Batch, noise: int | None) -> None:
        self.model = copy.deepcopy(model).double()
        self.model.train(noise is not None)
        name_layers(self.model)
        keys = torch.arange(1, len(batch) + 1) * 7919
        source = None if noise is None else Noise(noise, keys)
        self.batch = replace(batch, timeline=replace(batch.timeline, noise=source))
        self.everyone = list(range(len(batch)))

    def part(self, samples: Sequence[int]) -> tuple[Batch, Labels]:
        return batch_of(self.batch, samples, self.model.static)

    def whole(self) -> list[tuple[Batch, Labels]]:
        return [self.part(self.everyone)]

    def chunks(self, size: int) -> list[tuple[Batch, Labels]]:
        return batches_of_steps(self.batch, size, self.model.static)

    def learn(self, parts: Sequence[tuple[Batch, Labels]], *, carry: bool = False) -> dict[str, Tensor]:
        """Parameters at every label, the tasks' loss sums and the weights' gradients, over all parts."""
        found: dict[str, Tensor] = {}
        sums: dict[str, Tensor] = {}
        state: State | None = None
        for batch, labels in parts:
            parameters, after = self.model(batch, state)
            state = after if carry else None
            for task, own in parameters.items():
                empty = own.new_zeros(len(self.batch.targets[task]), own.shape[1])
                found[task] = found.get(task, empty).index_copy(0, labels[task], own.detach())
                loss = self.model.heads[task].loss_sum(own, batch.targets[task])
                sums[task] = sums[task] + loss if task in sums else loss
        torch.stack([*sums.values()]).sum().backward()
        found |= {f"loss sum of {task}": loss.detach() for task, loss in sums.items()}
        return found | {f"gradient of {name}": grad for name, grad in gradients(self.model).items()}

    @torch.no_grad()
    def reload(self, parts: Sequence[tuple[Batch, Labels]]) -> dict[str, Tensor]:
        """Parameters at every label, the state going through bytes between one part and the next."""
        found: dict[str, Tensor] = {}
        state: State | None = None
        for batch, labels in parts:
            parameters, after = self.model(batch, state)
            state = unflatten(parse_tensors(dump_tensors(flatten(after))))
            for task, own in parameters.items():
                empty = own.new_zeros(len(self.batch.targets[task]), own.shape[1])
                found[task] = found.get(task, empty).index_copy(0, labels[task], own)
        return found


def _check_gradients(trial: _Trial) -> None:
    found = trial.learn(trial.whole())
    rule, remedy = "parameters, losses and gradients are finite", "check each component by its contract"
    require(finite(found), trial.model, rule, "inf or NaN came", remedy)


def _check_samples(trial: _Trial) -> None:
    """Alone, in a batch, in another order: the same."""
    expected = trial.learn(trial.whole())
    ways = {
        "alone": [[i] for i in trial.everyone],
        "in another order": [trial.everyone[1::2] + trial.everyone[::2]],
    }
    for how, groups in ways.items():
        rule = f"a sample {how} gives what it gives in a batch"
        actual = trial.learn([trial.part(group) for group in groups])
        require_same(actual, expected, trial.model, rule, "let nothing depend on the rest of the batch")


def _check_loss_sums(trial: _Trial) -> None:
    """The loss sums of the parts of a global batch, some of them empty, add up to that of the whole."""
    expected = trial.learn(trial.whole())
    samples = torch.tensor(trial.everyone).numpy()
    lengths = trial.batch.timeline.lengths.numpy()
    for n in (2, len(samples) + 3):
        parts = [trial.part(part.tolist()) for part in split(samples, lengths, n)]
        rule = f"the loss sums of {n} parts of a batch add up to that of the whole"
        require_same(trial.learn(parts), expected, trial.model, rule, "return sums, never means")


def _check_chunks(trial: _Trial) -> None:
    """Whole, in chunks, one step at a time: the same."""
    if not trial.model.core.causal:
        return
    expected = trial.learn(trial.whole())
    for size in (5, 1):
        rule = f"chunks of {size} steps, the state carried on, give what the whole gives"
        remedy = "carry on all that is remembered, with its gradient"
        require_same(trial.learn(trial.chunks(size), carry=True), expected, trial.model, rule, remedy)
    outputs = {task: expected[task] for task in trial.batch.targets}
    for size in (2, 3, 7):
        rule = f"chunks of {size} steps, the state saved and loaded between them, give what the whole gives"
        remedy = "keep all that is remembered in the state, in tensors"
        require_same(trial.reload(trial.chunks(size)), outputs, trial.model, rule, remedy)


def _check_future(trial: _Trial) -> None:
    """Other values at later steps leave the outputs before them as they were, to the last bit."""
    if not trial.model.core.causal:
        return
    starts = trial.batch.timeline.starts
    early = (torch.arange(trial.batch.timeline.n_steps) - starts[trial.batch.timeline.sample]) < 3
    steps = torch.nonzero(early)[:, 0]
    with torch.no_grad():
        before, _ = trial.model.predict_at(trial.batch, steps)
        after, _ = trial.model.predict_at(with_other_values(trial.batch, ~early, trial.model.static), steps)
    for task, value in before.items():
        rule = f"predictions of {task} depend on no later value"
        # Values that end segments change which rows a core runs side by side, and so the last bits.
        tolerance = TOLERANCE if trial.model.core.marks else 0.0
        require_close(after[task], value, trial.model, rule, "look at earlier steps only", tolerance)


def _check_prefixes(trial: _Trial) -> None:
    """A prediction at a step is that of a model that was given nothing later."""
    if not trial.model.core.causal:
        return
    (first, _), *_ = trial.chunks(4)
    starts, last = trial.batch.timeline.starts[:-1], first.timeline.lengths - 1
    some = torch.nonzero(last >= 0)[:, 0]
    with torch.no_grad():
        expected, _ = trial.model.predict_at(first, first.timeline.last[some])
        actual, _ = trial.model.predict_at(trial.batch, (starts + last)[some])
    for task, value in expected.items():
        rule = f"predictions of {task} at a step know nothing later"
        require_close(actual[task], value, trial.model, rule, "look at earlier steps only")


def _check_empty(trial: _Trial) -> None:
    """No samples, or samples without steps: zero losses, and a zero gradient for each parameter."""
    nobody, _ = trial.part([])
    for batch in (nobody, idle(trial.batch)):
        labels = {task: torch.zeros(0, dtype=torch.int64) for task in batch.targets}
        found = trial.learn([(batch, labels)])
        for name, value in found.items():
            good = name in batch.targets or not bool(value.any())
            rule = f"{len(batch)} samples without steps give zero losses and gradients"
            require(good, trial.model, rule, f"the {name} is not", "keep penalties out of components")


def _check_unobserved(trial: _Trial) -> None:
    """A modality that nobody has in a batch, or no modality at all: finite, and no gradient is missing."""
    names = list(trial.batch.events)
    for absent in ([name] for name in names) if len(names) > 1 else ():
        _require_finite(trial, absent)
    _require_finite(trial, names)


def _require_finite(trial: _Trial, absent: list[str]) -> None:
    whole, labels = trial.part(trial.everyone)
    found = trial.learn([(without_events(whole, absent), labels)])
    rule = f"without any event of {', '.join(absent)}, all is finite"
    require(finite(found), trial.model, rule, "inf or NaN came", "divide by nothing that can be 0")
    if not trial.model.core.causal:
        return
    state = trial.model(without_events(trial.chunks(3)[0][0], absent))[1]
    numbers = {k: v for k, v in flatten(state).items() if not k.endswith("/time")}
    require(finite(numbers), trial.model, f"{rule}, the state too", "inf or NaN came", "start from zeros")
