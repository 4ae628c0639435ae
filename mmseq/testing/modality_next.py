"""A modality's next event, as heads predict it."""

from __future__ import annotations

import json

import numpy as np
import torch

from mmseq.heads import heads
from mmseq.testing.compare import require, require_close
from mmseq.testing.contract import Check, Contract, DoesNotApply
from mmseq.testing.events import take_events
from mmseq.testing.modality_trial import ModalityTrial


def _check_next_event(trial: ModalityTrial) -> None:
    """Where it has a likelihood: parts that are heads, and one target row a step with events."""
    parts = trial.modality.next_parts()
    if not parts:
        raise DoesNotApply("its next event has no likelihood")
    first = np.flatnonzero(np.diff(trial.step.numpy(), prepend=-1))
    merged = trial.modality.next_event(trial.events, first)
    good = len(merged.value) == len(first) and (
        merged.observed is None or merged.observed.shape == merged.value.shape
    )
    rule, remedy = "next_event gives one row a step that has events", "merge the events from each `first` on"
    require(good, trial.modality, rule, f"{merged.value.shape} came for {len(first)} steps", remedy)
    bounds = [part.first for part in parts] + [merged.value.shape[1]]
    good = bounds[0] == 0 and bounds[1:] == [part.last for part in parts]
    rule, remedy = "the parts of the next event divide its columns, in order", "set `first` and `last` so"
    require(good, trial.modality, rule, f"{[(p.first, p.last) for p in parts]} came", remedy)
    for part in parts:
        head_class = heads.component_class(part.kind)
        spec = head_class.Spec.model_validate(json.loads(json.dumps(part.spec, allow_nan=False)))
        head_class(spec, 3, **part.options)
    _check_next_rows(trial, first)


def _check_next_rows(trial: ModalityTrial, first: np.ndarray) -> None:
    expected = trial.modality.next_event(trial.events, first)
    ends = np.append(first[1:], len(trial.step))
    for i in range(0, len(first), 5):
        rows = torch.arange(int(first[i]), int(ends[i]))
        alone = trial.modality.next_event(take_events(trial.events, rows), np.zeros(1, np.int64))
        rule, remedy = "a step's target row depends on its own events only", "reduce within the step"
        actual, value = torch.from_numpy(alone.value[0]), torch.from_numpy(expected.value[i])
        if expected.observed is not None and alone.observed is not None:
            seen = torch.from_numpy(expected.observed[i])
            good = torch.equal(torch.from_numpy(alone.observed[0]), seen)
            require(good, trial.modality, rule, "another mask came", remedy)
            actual, value = actual[seen], value[seen]
        require_close(actual.double(), value.double(), trial.modality, rule, remedy, 1e-6)


CHECKS: Contract[ModalityTrial] = (
    Check(
        "next event",
        "its parts divide the columns; a step's row is of its own events only",
        _check_next_event,
    ),
)
