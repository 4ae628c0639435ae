"""The merged clock of a batch of samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from mmseq.random import Noise


@dataclass(frozen=True)
class Timeline:
    """When each step of each sample happens.

    Attributes:
        starts: the first step of each sample, and the number of steps at the end.
        time: time since the sample's origin, in the configured unit; rises strictly within a sample.
        delta: time since the sample's previous step; 0 at its very first.
        continues: a later call may go on from here, so the state after the last step is wanted;
            where it is false a component may return an empty state.
        noise: the source of dropout masks in training, None in evaluation.
        marks: by modality, true at each step where its codes become others; only of those that the
            core asks for, see `Core.marks`.

    Raises:
        ValueError: dtypes, ranks or lengths disagree.
    """

    starts: Int64[Tensor, "bound"]
    time: Float[Tensor, "step"]
    delta: Float[Tensor, "step"]
    continues: bool = False
    noise: Noise | None = None
    marks: Mapping[str, Bool[Tensor, "step"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.starts.dtype != torch.int64 or self.starts.ndim != 1 or not self.starts.shape[0]:
            raise ValueError("Timeline.starts: needs int64 of shape (sample + 1,)")
        if self.time.ndim != 1 or self.time.shape != self.delta.shape:
            raise ValueError("Timeline: time and delta need the same shape (step,)")
        if self.noise is not None and len(self.noise.key) != self.n_samples:
            raise ValueError("Timeline.noise: needs one key per sample")

    @classmethod
    def of_one_step(cls, time: Float[Tensor, "sample"]) -> Timeline:
        """One step of each sample, after which it goes on: what a live event is."""
        n = time.shape[0]
        return (_one(time.device) if n == 1 else _at_origin(n, time.device))._with(time=time)

    @property
    def n_samples(self) -> int:
        return self.starts.shape[0] - 1

    @property
    def n_steps(self) -> int:
        return self.time.shape[0]

    @cached_property
    def lengths(self) -> Int64[Tensor, "sample"]:
        """Steps of each sample."""
        return self.starts.diff()

    @cached_property
    def sample(self) -> Int64[Tensor, "step"]:
        """The sample that each step belongs to."""
        index = torch.arange(self.n_samples, device=self.starts.device)
        return torch.repeat_interleave(index, self.lengths, output_size=self.n_steps)

    @cached_property
    def last(self) -> Int64[Tensor, "sample"]:
        """The last step of each sample; one before its start where it has none."""
        return self.starts[1:] - 1

    @cached_property
    def everywhere(self) -> Bool[Tensor, "step"]:
        """True at every step: where a modality is present that makes them all."""
        return torch.ones_like(self.time, dtype=torch.bool)

    @cached_property
    def no_age(self) -> Float[Tensor, "step"]:
        """Zero at every step: the age of what is observed there."""
        return torch.zeros_like(self.time, dtype=torch.get_default_dtype())

    @cached_property
    def observed_now(self) -> Float[Tensor, "step 2"]:
        """Presence and age, as numbers, of a modality that makes all steps."""
        return torch.stack([torch.ones_like(self.no_age), self.no_age], 1)

    @cached_property
    def is_one_step(self) -> bool:
        """Whether each sample has one step, exactly."""
        return self.n_steps == self.n_samples and set(self.lengths_list) <= {1}

    @cached_property
    def lengths_list(self) -> list[int]:
        """`lengths` on the host, read once."""
        return self.lengths.tolist()

    def with_delta(self, delta: Float[Tensor, "step"]) -> Timeline:
        """The same steps with other times since the steps before them."""
        return self._with(delta=delta)

    def with_marks(self, marks: Mapping[str, Bool[Tensor, "step"]]) -> Timeline:
        """The same steps, marked."""
        return self._with(marks=marks)

    def _with(self, **fields: Any) -> Timeline:
        """A copy that keeps what was worked out already: a device would be waited for to read it again."""
        other = object.__new__(type(self))
        vars(other).update(vars(self), **fields)
        return other

    def to(self, device: Any) -> Timeline:
        noise = None if self.noise is None else self.noise.to(device)
        moved = replace(
            self,
            starts=self.starts.to(device),
            time=self.time.to(device),
            delta=self.delta.to(device),
            noise=noise,
            marks={name: mark.to(device) for name, mark in self.marks.items()},
        )
        vars(moved)["lengths_list"] = self.lengths_list  # else a device would be waited for to read it
        return moved


def _at_origin(n: int, device: torch.device) -> Timeline:
    """One step of each of n samples, at time 0, with what can be worked out of it."""
    order, time = torch.arange(n + 1, device=device), torch.zeros(n, dtype=torch.float64, device=device)
    timeline = Timeline(order, time, torch.zeros(n, device=device), continues=True)
    each = order[:-1]
    everywhere = torch.ones_like(time, dtype=torch.bool)
    known = {"lengths_list": [1] * n, "sample": each, "last": each, "everywhere": everywhere}
    vars(timeline).update(known, is_one_step=True)
    return timeline


@lru_cache(maxsize=8)
def _one(device: torch.device) -> Timeline:
    """That of a single sample, made once: a live event has few operations to spare."""
    with torch.inference_mode(False):
        return _at_origin(1, device)
