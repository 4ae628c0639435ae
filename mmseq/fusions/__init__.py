"""Fusions: what the modalities say at a step → one vector a step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.registry import ComponentConfig, Registry

__all__ = ["Fusion", "FusionConfig", "Seen", "fusions"]


class FusionConfig(ComponentConfig):
    """Base of every fusion's config."""


@dataclass(frozen=True)
class Seen:
    """What is known of one modality at each step.

    Attributes:
        values: mean of its encoded events at this step, or the last such mean; zeros before the first.
        present: true where it was observed at this very step.
        age: log1p of the time since it was last observed, in typical step lengths; -1 before the first.
    """

    values: Float[Tensor, "step width"]
    present: Bool[Tensor, "step"]
    age: Float[Tensor, "step"]

    @classmethod
    def now(cls, values: Float[Tensor, "step width"], timeline: Timeline) -> Seen:
        """What was observed at every step."""
        seen = cls(values, timeline.everywhere, timeline.no_age.to(values.dtype))
        vars(seen)["_marks"] = timeline.observed_now
        return seen

    @cached_property
    def _marks(self) -> Float[Tensor, "step 2"]:
        return torch.stack([self.present.to(self.age.dtype), self.age], 1)

    def marks(self) -> Float[Tensor, "step 2"]:
        """Presence and age as numbers."""
        return self._marks.to(self.values.dtype)


class Fusion(nn.Module):
    """A function (modalities, clock) → (step, width).

    Constructor: `(modalities, n_clock, *, …options)`, with the modalities' names in order and the number
    of clock features.

    Attributes:
        width: size of the outputs, and of every encoder's.
    """

    width: int

    @abstractmethod
    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        """Combines what the modalities say at each step; `clock` tells of the time of the step itself."""


fusions: Registry[Fusion] = Registry("fusions", FusionConfig)
