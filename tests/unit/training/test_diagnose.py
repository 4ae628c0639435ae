"""The first place where a number is not finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.state import State
from mmseq.store import Store
from mmseq.training.diagnose import Finding, diagnose, merged
from mmseq.training.sitting import initialise

SAMPLES = [0, 1, 3, 5]


@pytest.fixture
def model(experiment: Experiment, store: Store) -> Model:
    return initialise(experiment, fit(experiment, store, torch.arange(len(store)).numpy()))


def _batch(model: Model, store: Store, window: Any = None) -> Batch:
    samples = torch.tensor(SAMPLES).numpy()
    return Assembler(store, model, tasks=list(model.heads)).batch(samples, window=window)


def _found(model: Model, *micros: tuple[Batch, State | None]) -> Finding:
    return diagnose(model, dict(model.named_parameters()), micros)


def test_nothing_where_all_is_finite(model: Model, store: Store) -> None:
    batch = _batch(model, store)
    assert _found(model, (batch, None)) == Finding(ids=batch.ids)


def test_the_cause_is_named_and_not_what_follows_from_it(model: Model, store: Store) -> None:
    """A bad input, of which the encoder and all after it are bad, too.

    Caught: each part named once for each micro-batch; events not looked into.
    """
    batch = _batch(model, store)
    events = batch.events["vitals"]
    events.values[0], events.observed[0] = math.nan, True  # type: ignore[union-attr]
    victim = batch.ids[int(batch.timeline.sample[events.step[0]])]
    found = _found(model, (batch, None), (batch, None))
    assert found.modules == ["modalities.vitals"]
    assert set(found.samples) == {victim} and len(found.tasks) == len(set(found.tasks)) > 0
    assert found.told().startswith("the output of modalities.vitals; the loss of ")
    assert found.told().endswith(f"; samples: {victim}")


def test_a_state_without_anything_seen_is_no_fault(model: Model, store: Store) -> None:
    """It has NaN for the time of what was never there.

    Caught: the state looked at as if it were an output.
    """
    first, second = _batch(model, store, (0, 2)), _batch(model, store, (2, 4))
    _, state = model(first, None)
    second.targets["sick"].value.fill_(0)
    assert any(value.isnan().any() for value in _tensors(state))
    assert _found(model, (first, None), (second, state)) == Finding(ids=first.ids)


def _tensors(state: Any) -> list[torch.Tensor]:
    return (
        [state] if isinstance(state, torch.Tensor) else [t for part in state.values() for t in _tensors(part)]
    )


def test_a_weight_and_a_gradient_are_named(model: Model, store: Store) -> None:
    batch, weights = _batch(model, store), dict(model.named_parameters())
    head = weights["heads.level.linear.weight"]
    head.grad = torch.full_like(head, math.nan)
    found = _found(model, (batch, None))
    assert found.gradients == ["heads.level.linear.weight"]
    assert found.told().startswith("the gradient of heads.level.linear.weight; samples: p0, p1, p3, p5")
    head.data[0, 0] = math.nan
    found = _found(model, (batch, None))
    assert found.weights == ["heads.level.linear.weight"] and found.tasks == ["level"]
    assert found.told().startswith(
        "the weights heads.level.linear.weight; the output of heads.level.linear; the loss of level; "
    )


def test_a_label_that_is_not_observed_is_no_fault(model: Model, store: Store) -> None:
    """Caught: losses of what has no weight looked at."""
    batch = _batch(model, store)
    target = batch.targets["level"]
    assert target.observed is not None and not target.observed.all()
    target.value[~target.observed] = math.nan
    assert _found(model, (batch, None)).tasks == []
    target.value[target.observed] = math.nan
    assert _found(model, (batch, None)).tasks == ["level"]


def test_findings_of_all_processes_are_told_once_and_in_short() -> None:
    found = merged([Finding(tasks=["a", "a"], ids=["x"]), Finding(tasks=["b", "a"], ids=list("xyzuvw"))])
    assert (found.tasks, found.ids) == (["a", "b"], list("xyzuvw"))
    assert found.told() == "the loss of a, b; samples: x, y, z, u, v, …"
