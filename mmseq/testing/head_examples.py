"""Labels for any head, by what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from mmseq.batch import NumericEvents, Target
from mmseq.batch.candidates import Candidates
from mmseq.heads import Head, HeadConfig, HidingConfig, Labels, Upcoming, heads
from mmseq.heads.contrast import Compared
from mmseq.heads.next_step import NextEventConfig
from mmseq.modalities import Part
from mmseq.modalities.numeric import NumericSpec
from mmseq.sources import Reading
from mmseq.testing.configs import built

N_LABELS = 24
WIDTH = 8
"""Of an encoded event."""


@dataclass(frozen=True)
class NextParts:
    """Stands in for a modality: two numbers and a category are its next event."""

    read = ("a", "b")

    @property
    def spec(self) -> NumericSpec:
        """Of the numbers alone."""
        return NumericSpec(
            columns=[*self.read], mean=[1.0, -2.0], std=[2.0, 0.5], low=[-9.0, -9.0], high=[9.0, 9.0],
            missing=[0.0, 0.0], time_scale=1.0, static=False,
        )  # fmt: skip

    def next_parts(self) -> list[Part]:
        numbers = self.spec.model_dump(include={"columns", "mean", "std"})
        classes = {"classes": ["x", "y", "z"], "counts": [5, 3, 1]}
        options = {"loss": "gaussian", "transform": None}
        return [
            Part(name="", kind="regression", spec=numbers, options=options, first=0, last=2),
            Part(name="c", kind="classification", spec=classes, options={}, first=2, last=3),
        ]


@dataclass(frozen=True)
class NoParts:
    """Stands in for a modality without a likelihood."""

    def next_parts(self) -> None:
        return None


@dataclass(frozen=True)
class Example:
    """A head, fitted, and labels for it.

    Attributes:
        config: what it is built from.
        spec: its facts.
        target: labels to learn.
        labels: the same, raw; None of a head that reads none.
    """

    config: HeadConfig
    spec: Any
    target: Target
    labels: Labels | None = None

    def build(self, hidden: int) -> Head:
        widths = [hidden, WIDTH] if isinstance(self.config, NextEventConfig) else [hidden]
        return heads.build(self.config, self.spec, *widths)

    def predict(self, head: Head, hidden: Tensor, target: Target) -> Tensor:
        """The parameters at some labels, compared with candidates where they have any."""
        if target.candidates is None:
            return head(hidden)
        own, drawn = (
            cast(NumericEvents, events).values.to(hidden)
            for events in (target.candidates.own, target.candidates.drawn)
        )
        drawn = drawn.view(-1, head.negatives, WIDTH)
        return head(hidden, Compared(own, drawn, target.candidates.positive, target.candidates.sample))


def example_config(kind: str, **options: Any) -> HeadConfig:
    """The config of a kind with made-up names for what it reads."""
    fields = heads.config_class(kind).model_fields
    names: dict[str, Any] = {"table": "labels", "modality": "m"}
    names |= {"columns": ["y1", "y2"]} if "columns" in fields else {"column": "y"}
    names = {name: value for name, value in names.items() if name in fields}
    return cast(HeadConfig, built(heads, kind, names | options))


def example(config: HeadConfig, labels: Labels | None = None, *, seed: int = 0) -> Example:
    """A fitted head, with `labels` or, without, those of its own `example_labels`, or ones made up."""
    head_class = heads.component_class(config.kind)
    reading = head_class.reading(config)
    if reading is None:
        if getattr(config, "negatives", None):
            spec = head_class.fit(config, Upcoming(NoParts(), np.ones(0)))
            return Example(config, spec, contrast_target(config.negatives, seed))  # type: ignore[attr-defined]
        spec = head_class.fit(config, Upcoming(NextParts(), np.ones(0)))
        hides = isinstance(config, HidingConfig)
        return Example(config, spec, hidden_target(seed) if hides else next_target(seed))
    if labels is None:
        own = getattr(head_class, "example_labels", None)
        labels = own() if own else example_labels(reading, seed)
    spec = head_class.fit(config, labels)
    encoded = heads.build(config, spec, 1).encode(labels)
    observed = None if encoded.observed is None else torch.from_numpy(encoded.observed)
    target = Target(torch.from_numpy(encoded.row), torch.from_numpy(encoded.value), observed)
    return Example(config, spec, target, labels)


def example_labels(reading: Reading, seed: int = 0) -> Labels:
    """Three classes, or numbers that are 0 or 1 (which every head of numbers can read); some missing."""
    rng = np.random.default_rng(seed)
    if reading.codes:
        code = rng.integers(-1, 3, N_LABELS).astype(np.int32)
        code[:3] = range(3)
        return Labels(reading.codes, np.zeros((N_LABELS, 0)), code, ("low", "mid", "high"), "task")
    values = rng.integers(0, 2, (N_LABELS, len(reading.numbers))).astype(np.float64)
    values[:2] = [[0], [1]]
    values[rng.random(values.shape) < 0.2] = np.nan
    return Labels(reading.numbers, values, np.zeros(0, np.int32), (), "task")


def next_target(seed: int = 0) -> Target:
    """Next events for `NextParts`, with cells that were not observed, and the wait for them."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal((1, -2), (2, 0.5), (N_LABELS, 2))
    value = np.concatenate([numbers, rng.integers(0, 3, (N_LABELS, 1))], 1).astype(np.float32)
    observed = rng.random(value.shape) < 0.8
    observed[:, 0] |= ~observed.any(1)
    previous = np.where(rng.random(value.shape) < 0.7, np.roll(value, 1, 0), np.nan).astype(np.float32)
    return Target(
        torch.arange(N_LABELS),
        torch.from_numpy(np.where(observed, value, 0).astype(np.float32)),
        torch.from_numpy(observed),
        previous=torch.from_numpy(previous),
        wait=torch.from_numpy(rng.exponential(3, N_LABELS).astype(np.float32)),
    )


def hidden_target(seed: int = 0) -> Target:
    """Hidden cells of the numbers of `NextParts`."""
    target, numbers = next_target(seed), slice(0, 2)
    assert target.observed is not None and target.previous is not None
    rows = torch.nonzero(target.observed[:, numbers].any(1))[:, 0]
    value, observed, previous = (
        own[rows, numbers] for own in (target.value, target.observed, target.previous)
    )
    return Target(target.where[rows], value, observed, previous=previous)


def contrast_target(n: int, seed: int = 0) -> Target:
    """Next events of `NoParts` among so many others, encoded as they are; a few of those are the next one."""
    generator = torch.Generator().manual_seed(seed)

    def events(n: int) -> NumericEvents:
        values = torch.randn(n, WIDTH, generator=generator)
        return NumericEvents(torch.arange(n), values, torch.ones_like(values, dtype=torch.bool))

    n_own, n_samples = N_LABELS - 4, 5  # some labels have their next event in common
    positive = torch.arange(N_LABELS) % n_own
    sample = torch.arange(N_LABELS) * n_samples // N_LABELS
    candidates = Candidates(events(n_own), events(n_samples * n), n_own, n_samples * n, positive, sample)
    return Target(
        torch.arange(N_LABELS),
        torch.zeros(N_LABELS, dtype=torch.int64),
        wait=torch.rand(N_LABELS, generator=generator).exp(),
        other=torch.rand(N_LABELS, n, generator=generator) < 0.9,
        candidates=candidates,
    )
