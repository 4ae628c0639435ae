"""Readouts: the steps so far → one vector a query."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.registry import ComponentConfig, Registry
from mmseq.state import State

__all__ = ["Readout", "ReadoutConfig", "readouts"]


class ReadoutConfig(ComponentConfig):
    """Base of every readout's config."""


class Readout(nn.Module):
    """A function (hidden, timeline, state, at) → (read, state). Constructor: `(hidden, *, …options)`."""

    @abstractmethod
    def forward(
        self,
        hidden: Float[Tensor, "step hidden"],
        timeline: Timeline,
        state: State | None = None,
        at: Int64[Tensor, "query"] | None = None,
    ) -> tuple[Float[Tensor, "query hidden"], State]:
        """Reads each queried step's sample from its very first step up to and including that step.

        `at` None reads each sample once, after its last step so far; a sample that has had no step yet
        reads as zeros. The state returned has one row a sample; it may be empty where
        `timeline.continues` is false.
        """


readouts: Registry[Readout] = Registry("readouts", ReadoutConfig)
