"""Segments that are worked out again give what the whole gives, gradients and all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from mmseq.batch import Batch
from mmseq.batch.assemble import Assembler
from mmseq.config.experiment import Experiment
from mmseq.fit import fit
from mmseq.model import Model
from mmseq.state import State, flatten
from mmseq.store import Store

SAMPLES = np.array([4, 7, 10, 28, 19, 0])


def build(experiment: Experiment, store: Store, recompute: int | None) -> Model:
    torch.manual_seed(0)
    training = experiment.training.model_copy(update={"recompute": recompute})
    experiment = experiment.model_copy(update={"training": training})
    return Model(experiment, fit(experiment, store, np.arange(len(store)))).double().train()


def learn(model: Model, batch: Batch, state: State | None) -> tuple[dict[str, torch.Tensor], State]:
    parameters, after = model(batch, state)
    sum(p.square().sum() for p in parameters.values()).backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    return {**{task: p.detach() for task, p in parameters.items()}, **found}, after


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("window", [None, (2, 6)])
def test_is_exact(
    make_experiment: Callable[..., Experiment], store: Store, size: int, window: tuple[int, int] | None
) -> None:
    experiment = make_experiment(core={"kind": "lstm", "hidden": 5, "layers": 2, "dropout": 0.3})
    plain, again = build(experiment, store, None), build(experiment, store, size)
    batch = Assembler(store, plain, tasks=list(plain.heads)).batch(SAMPLES, 3, window)
    state = plain.begin(len(SAMPLES)) if window else None
    expected, end = learn(plain, batch, state)
    found, after = learn(again, batch, state)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-10)
    if window:
        for (name, value), other in zip(flatten(after).items(), flatten(end).values(), strict=True):
            torch.testing.assert_close(value, other, rtol=0, atol=1e-10, equal_nan=True, msg=name)


def test_inner_values_are_not_kept(make_experiment: Callable[..., Experiment], store: Store) -> None:
    """Tensors that autograd saves of a batch outside of segments: far fewer bytes."""

    def kept(recompute: int | None) -> int:
        model = build(make_experiment(core={"kind": "gru", "hidden": 32}), store, recompute)
        batch = Assembler(store, model, tasks=list(model.heads)).batch(SAMPLES, 3)
        sizes: list[int] = []

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(batch)
        return sum(sizes)

    assert kept(3) < 0.5 * kept(None)
