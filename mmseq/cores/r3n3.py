"""A recurrent network over a recurrent network over a recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from mmseq.cores import CoreConfig, cores
from mmseq.cores.hierarchical import HierarchicalCore, Segment
from mmseq.cores.uniform import UniformOptions, uniform_levels


class R3n3Config(UniformOptions, CoreConfig):
    """Three levels of one kind of core, each over segments of the one below."""

    kind: Literal["r3n3"]
    segments: list[Segment] = Field(
        default_factory=lambda: [Segment(steps=4), Segment(steps=4)],
        min_length=2,
        max_length=2,
        description="what a step of the second level is, and one of the third",
    )


@cores.register(R3n3Config)
class R3n3Core(HierarchicalCore):
    """`hierarchical` with three levels of one kind and size: a recurrent network over one over one.

    Level 1 reads the steps, level 2 segments of them, and level 3 segments of those; see `HierarchicalCore`
    for the formula and sources.
    """

    def __init__(
        self, width: int, *, cell: str, hidden: int, dropout: float, segments: Sequence[Segment]
    ) -> None:
        super().__init__(width, levels=uniform_levels(cell, hidden, dropout, segments))
