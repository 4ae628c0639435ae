"""A recurrent network over a recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from mmseq.cores import CoreConfig, cores
from mmseq.cores.hierarchical import HierarchicalCore, Segment
from mmseq.cores.uniform import UniformOptions, uniform_levels


class R2n2Config(UniformOptions, CoreConfig):
    """Two levels of one kind of core, each over segments of the one below."""

    kind: Literal["r2n2"]
    segments: list[Segment] = Field(
        default_factory=lambda: [Segment(steps=8)],
        min_length=1,
        max_length=1,
        description="what a step of the second level is",
    )


@cores.register(R2n2Config)
class R2n2Core(HierarchicalCore):
    """`hierarchical` with two levels of one kind and size: a recurrent network over another.

    Level 1 reads the steps, and level 2 segments of them; see `HierarchicalCore` for the formula and sources.
    """

    def __init__(
        self, width: int, *, cell: str, hidden: int, dropout: float, segments: Sequence[Segment]
    ) -> None:
        super().__init__(width, levels=uniform_levels(cell, hidden, dropout, segments))
