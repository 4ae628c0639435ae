"""What a modality carries from step to step: nothing of the future, nothing of other samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mmseq.state import State, flatten, map_state
from mmseq.testing.build import take_samples
from mmseq.testing.compare import require, require_close, require_same, saved
from mmseq.testing.contract import Check, Contract, DoesNotApply
from mmseq.testing.events import take_events, take_events_at
from mmseq.testing.modality_trial import ModalityTrial


def _check_company(trial: ModalityTrial) -> None:
    """Alone, in a batch, in another order; with a state to go on from or without: the same."""
    expected = trial.whole()
    n = trial.timeline.n_samples
    order = torch.randperm(n, generator=trial.generator).tolist()
    ways = {"alone": [[i] for i in range(n)], "in another order": [order]}
    for how, groups in ways.items():
        for continues in (True, False):
            whole = replace(trial.timeline, continues=continues)
            parts = [(*take_samples(whole, group), torch.tensor(group)) for group in groups]
            rule = f"a sample {how} gives what it gives in a batch"
            remedy = "let no sample's numbers depend on other samples of the batch, nor on its place in it"
            found, _ = trial.carry(parts, keep=False)
            require_same(found, expected, trial.modality, rule, remedy)


def _check_future(trial: ModalityTrial) -> None:
    """Other values at later steps leave the events before them as they were, to the last bit."""
    _need_time(trial)
    before = trial.whole()
    place = torch.arange(trial.timeline.n_steps) - trial.timeline.starts[trial.timeline.sample]
    halfway = (trial.timeline.lengths // 2)[trial.timeline.sample]
    late = (place >= halfway)[trial.step].numpy()
    rows = np.arange(len(late))
    rows[late] = np.roll(rows[late], int(late.sum()) // 2)
    changed = {name: value[rows] for name, value in trial.arrays.items()}
    after, _ = trial.run(trial.make(trial.step, changed), trial.timeline)
    good = all(torch.equal(after[name][~late], value[~late]) for name, value in before.items())
    rule, remedy = "an event depends on no later step", "fill from earlier events only"
    require(good, trial.modality, rule, "other values later changed it", remedy)


def _check_chunks(trial: ModalityTrial) -> None:
    """Whole, in chunks, one step at a time: the same events and final state."""
    _need_time(trial)
    expected, end = trial.run(trial.events, trial.timeline)
    remedy = "return everything that later events depend on in the state, and start from it"
    for size in (7, 4, 1):
        found, state = trial.carry(trial.chunks(size), keep=True)
        rule = f"chunks of {size} steps, the state carried on, give what the whole gives"
        require_same(found, expected, trial.modality, rule, remedy)
        require_same(_known(state), _known(end), trial.modality, f"{rule} (final state)", remedy)


def _known(state: State) -> dict[str, torch.Tensor]:
    """A state's tensors, NaN (there is none yet) as a number."""
    return {name: value.double().nan_to_num(-1e9) for name, value in flatten(state).items()}


def _check_rows(trial: ModalityTrial) -> None:
    """Rows of a state can be taken, reordered, and left without a step."""
    _need_time(trial)
    expected = trial.whole()
    (first, there, _), *rest = trial.chunks(4)
    events, _ = take_events_at(trial.events, there)
    _, state = trial.run(events, first)
    nobody, _ = take_samples(first, [1] * first.n_samples)  # sample 1 has no steps
    _, after = trial.run(take_events(trial.events, there[:0]), nobody, state)
    rule, remedy = "rows without a step keep their state", "write only the rows that have an event"
    require_same(_known(after), _known(state), trial.modality, rule, remedy)
    order = list(reversed(range(0, first.n_samples, 2)))
    rows = torch.tensor(order)
    state = map_state(lambda part: part[rows], state)
    rule = "a state's rows can be taken and reordered with their samples"
    for timeline, where, _ in rest:
        part, inside = take_samples(timeline, order)
        events, taken = take_events_at(trial.events, where[inside])
        ready, state = trial.run(events, part, state)
        for name in ready.keys() - {"step"}:
            remedy = "keep all memory in the state, one row a sample"
            require_close(ready[name], expected[name][taken], trial.modality, f"{rule} ({name})", remedy)


def _check_saving(trial: ModalityTrial) -> None:
    """A state that is saved and loaded goes on in another process as in this one."""
    _need_time(trial)
    first, second, *_ = trial.chunks(5)
    events, _ = take_events_at(trial.events, first[1])
    _, state = trial.run(events, first[0])
    loaded = saved(state, trial.modality)
    events, _ = take_events_at(trial.events, second[1])
    expected, _ = trial.run(events, second[0], state)
    trial.modality = trial.build(trial.spec)
    found, _ = trial.run(events, second[0], loaded)
    rule = "a state that was saved goes on in another process as in this one, to the last bit"
    remedy = "keep memory in the state, as tensors, and let calls leave a state as it was"
    good = all(torch.equal(found[name], value) for name, value in expected.items())
    require(good, trial.modality, rule, "it did not", remedy)


def _need_time(trial: ModalityTrial) -> None:
    if trial.static:
        raise DoesNotApply("static: its events have no time")


CHECKS: Contract[ModalityTrial] = (
    Check("company", "a sample alone, in a batch or in another order gives the same", _check_company),
    Check("future", "an event depends on no later step, to the last bit", _check_future),
    Check(
        "chunks", "chunks and single steps, the state carried on, give what the whole gives", _check_chunks
    ),
    Check("rows", "a state's rows can be taken, reordered and left without a step", _check_rows),
    Check("saving", "a state that was saved and loaded goes on the same, to the last bit", _check_saving),
)
