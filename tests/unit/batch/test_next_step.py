"""Targets that the inputs provide, against an oracle in plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmseq.batch import CategoryEvents, Events, NumericEvents, Target
from mmseq.batch.next_step import next_step_target
from mmseq.modalities import Modality
from mmseq.modalities.category import CategoryModality, CategorySpec
from mmseq.modalities.numeric import NumericModality, NumericSpec
from mmseq.testing.build import LENGTHS, random_timeline
from mmseq.testing.events import random_steps

VOCABULARIES = [["x", "y", "z"], ["u", "v"]]

Row = tuple[list[float], list[bool]]
"""The value of each column, and whether it is real."""


@dataclass
class Case:
    modality: Modality
    events: Events
    starts: np.ndarray
    time: np.ndarray

    def target(self, *, own: bool = False, previous: bool = True) -> Target:
        return next_step_target(
            self.modality, self.events, self.starts, self.time, own=own, previous=previous
        )

    def rows(self, step: int) -> list[int]:
        return [i for i, at in enumerate(self.events.step.tolist()) if at == step]

    def merged(self, step: int) -> Row:
        """What the events of a step amount to."""
        rows = self.rows(step)
        if isinstance(self.events, NumericEvents):
            return _mean(self.events, rows)
        assert isinstance(self.events, CategoryEvents) and isinstance(self.modality, CategoryModality)
        if self.modality.spec.shared_steps:
            return _sets(self.events.code[rows].tolist())
        (code,) = self.events.code[rows].tolist()
        return [float(max(c - 2, 0)) for c in code], [c >= 2 for c in code]


def _mean(events: NumericEvents, rows: list[int]) -> Row:
    values, observed = [], []
    for f in range(events.values.shape[1]):
        known = [float(events.values[i, f]) for i in rows if events.observed[i, f]]
        values.append(sum(known) / len(known) if known else 0.0)
        observed.append(bool(known))
    return values, observed


def _sets(codes: list[list[int]]) -> Row:
    values, observed = [], []
    for column, words in enumerate(VOCABULARIES):
        values += [float(any(code[column] == i + 2 for code in codes)) for i in range(len(words))]
        observed += [any(code[column] >= 2 for code in codes)] * len(words)
    return values, observed


def numeric(step: Tensor, generator: torch.Generator) -> tuple[Modality, Events]:
    values = torch.randn(len(step), 2, generator=generator)
    observed = torch.rand(len(step), 2, generator=generator) < 0.6
    spec = NumericSpec(
        columns=["a", "b"], mean=[0, 0], std=[1, 1], low=None, high=None, missing=[0, 0],
        time_scale=1.0, static=False,
    )  # fmt: skip
    return NumericModality(spec, fill="last"), NumericEvents(step, values, observed)


def category(step: Tensor, generator: torch.Generator, *, shared: bool) -> tuple[Modality, Events]:
    sizes = torch.tensor([len(words) + 2 for words in VOCABULARIES])
    code = (torch.rand(len(step), 2, generator=generator) * sizes).long()
    spec = CategorySpec(
        columns=["c", "d"], vocabularies=VOCABULARIES, counts=[[1, 1, 1], [1, 1]], missing=[0, 0],
        shared_steps=shared,
    )  # fmt: skip
    return CategoryModality(spec), CategoryEvents(step, code)


@pytest.fixture(params=["numeric", "alone", "sets"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[0.0, 0.2, 0.6, 1.0])
def case(request: pytest.FixtureRequest, kind: str) -> Case:
    generator = torch.Generator().manual_seed(1)
    timeline = random_timeline(LENGTHS, generator)
    repeats = 1 if kind == "alone" else 3
    step = random_steps(timeline.n_steps, generator, repeats=repeats, share=request.param)
    made = numeric(step, generator) if kind == "numeric" else category(step, generator, shared=kind == "sets")
    return Case(*made, timeline.starts.numpy(), timeline.time.numpy())


def oracle(case: Case, own: bool) -> list[dict[str, Any]]:
    labels = []
    for start, stop in zip(case.starts[:-1].tolist(), case.starts[1:].tolist(), strict=True):
        for step in range(start, stop):
            later = [s for s in range(step + 1, stop) if case.rows(s)]
            if not later or (own and not case.rows(step)):
                continue
            value, observed = case.merged(later[0])
            previous = [math.nan] * len(value)
            for s in range(start, step + 1):
                if case.rows(s):
                    now = zip(*case.merged(s), previous, strict=True)
                    previous = [v if seen else old for v, seen, old in now]
            wait = float(case.time[later[0]] - case.time[step])
            label = {"where": step, "value": value, "observed": observed}
            labels.append(label | {"previous": previous, "wait": wait})
    return labels


@pytest.mark.parametrize("own", [False, True])
def test_against_oracle(case: Case, own: bool) -> None:
    target, labels = case.target(own=own), oracle(case, own)
    assert target.where.tolist() == [label["where"] for label in labels]
    width = target.value.shape[1]

    def column(name: str) -> Tensor:
        return torch.tensor([label[name] for label in labels], dtype=torch.float64).reshape(-1, width)

    observed = column("observed").bool()
    if target.observed is None:
        assert observed.all()
    else:
        assert torch.equal(target.observed, observed)
    expected = torch.where(observed, column("value"), 0)
    torch.testing.assert_close(
        torch.where(observed, target.value.double(), 0), expected, rtol=1e-6, atol=1e-6
    )
    assert target.previous is not None and target.wait is not None
    torch.testing.assert_close(target.previous, column("previous"), rtol=1e-6, atol=1e-6, equal_nan=True)
    waits = torch.tensor([label["wait"] for label in labels], dtype=torch.float64)
    torch.testing.assert_close(target.wait, waits)


def test_numbers_keep_the_precision_of_the_store() -> None:
    generator = torch.Generator().manual_seed(0)
    modality, _ = numeric(torch.arange(3), generator)
    values = torch.tensor([[1e9, 1.0], [1e9 + 1, 2.0], [1e9 + 2, 3.0]], dtype=torch.float64)
    events = NumericEvents(torch.arange(3), values, torch.ones_like(values, dtype=torch.bool))
    time = np.array([1e9, 1e9 + 1, 1e9 + 3])
    target = Case(modality, events, np.array([0, 3]), time).target()
    assert torch.equal(target.value, values[1:]) and target.wait is not None
    assert target.previous is not None and torch.equal(target.previous, values[:2])
    assert target.wait.tolist() == [1, 2]


def test_strictly_later(case: Case) -> None:
    wait = case.target(own=False).wait
    assert wait is not None and bool((wait > 0).all())


def test_previous_only_where_it_is_asked_for(case: Case) -> None:
    assert case.target(previous=False).previous is None
