"""Recurrent networks over recurrent networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from torch import Tensor

from mmseq.batch import Timeline
from mmseq.cores import Core, CoreConfig, cores
from mmseq.cores.nested import InnerCore, is_causal, marks_of
from mmseq.cores.segments import SegmentedCore
from mmseq.state import State


class Segment(BaseModel):
    """What cuts the level below into segments: exactly one of these."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    steps: PositiveInt | None = Field(
        None, description="a segment has so many steps (at the third level: segments) of the level below"
    )
    gap: PositiveFloat | None = Field(
        None, description="a segment begins at a step further from the one before, in the timeline's unit"
    )
    marker: str | None = Field(
        None, description="a segment begins where the codes of this category modality become others"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> Segment:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError(
                "a segment is cut by exactly one of steps, gap and marker; "
                f"came {', '.join(given) or 'none'}; keep one"
            )
        return self


class Level(BaseModel):
    """One level, and how the level below it is cut."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    core: InnerCore = Field(
        default_factory=lambda: cores.parse({"kind": "gru"}), description="what runs at this level"
    )
    segment: Segment | None = Field(
        None,
        description="what a step of this level is: a segment of the level below; the first has none",
    )

    @field_validator("core")
    @classmethod
    def _causal(cls, core: CoreConfig) -> CoreConfig:
        if not is_causal(core):
            raise ValueError(
                f"a level's core looks at no later step; {core.kind!r} does; "
                "take a causal core, or put the whole hierarchy inside a bidirectional one"
            )
        return core


def _two_levels() -> list[Level]:
    return [Level(), Level(segment=Segment(steps=8))]


class HierarchicalConfig(CoreConfig):
    """Recurrent networks over recurrent networks: each level runs over segments of the one below."""

    kind: Literal["hierarchical"]
    levels: list[Level] = Field(
        default_factory=_two_levels,
        min_length=2,
        description="from the one that runs over the steps upwards",
    )

    @field_validator("levels")
    @classmethod
    def _segments_above_the_first(cls, levels: list[Level]) -> list[Level]:
        if levels[0].segment is not None:
            raise ValueError("the first level runs over the steps themselves; leave out its `segment`")
        for i, level in enumerate(levels[1:], 2):
            if level.segment is None:
                raise ValueError(f"level {i} needs a `segment`, such as {{steps: 8}}; came none; add one")
        return levels


@cores.register(HierarchicalConfig)
class HierarchicalCore(Core):
    """Level 1 runs over the steps, level 2 over segments of them, level 3 over segments of those, and so on.

        h¹_t = core₁(x_t + C₂ h²_t);   h²_s = core₂(h¹ at the last step of segment s + C₃ h³_s);   …

    where h²_t is what level 2 made of all segments that closed at step t or before, zeros before the first.
    A segment closes when the first step of the next arrives, and level 2 takes it in before level 1 takes
    that step; an open last segment never reaches level 2. The same holds between higher levels. The outputs
    are h¹, which knows the levels above through C. So it is causal, and runs whole, in chunks or by step.

    Where a segment of a level begins, one of each level below begins too, cutting theirs short: a new
    session is a new utterance. A higher level's gaps and markers are looked for at all steps so, and counted
    where a segment of the level below begins. Its Δ is the time between the closing of one segment and the
    next, 0 at its first.

    The batch runs segment by segment, the samples side by side: as many calls as the sample with the most
    segments has of them.

    Source: El Hihi and Bengio 1995, "Hierarchical recurrent neural networks for long-term dependencies";
    Sordoni et al. 2015, "A hierarchical recurrent encoder-decoder for generative context-aware query
    suggestion"; Chung, Ahn and Bengio 2017, "Hierarchical multiscale recurrent neural networks", which
    learns where segments end.
    """

    def __init__(self, width: int, *, levels: Sequence[Level]) -> None:
        super().__init__()
        built, widths = [], [width]
        for level in levels:
            built.append(cores.build(level.core, widths[-1]))
            widths.append(built[-1].hidden)
        self.segments = [level.segment for level in levels[1:] if level.segment is not None]
        nested = built[-1]
        for i in range(len(built) - 2, -1, -1):
            nested = SegmentedCore(widths[i], built[i], nested, mark=_begins(i), steps=self.segments[i].steps)
        self.levels = nested
        self.hidden = built[0].hidden
        markers = [segment.marker for segment in self.segments if segment.marker is not None]
        self.marks = tuple(dict.fromkeys([*markers, *marks_of(built)]))

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        """Runs on from `state`.

        Raises:
            ValueError: the timeline lacks marks that a segment is cut by, or the state is another core's.
        """
        if missing := [name for name in self.marks if name not in timeline.marks]:
            raise ValueError(
                f"{type(self).__name__}: the timeline needs marks of {', '.join(self.marks)}; it lacks "
                f"{', '.join(missing)}; give it those that Core.marks names, by with_marks"
            )
        marks = dict(timeline.marks)
        begins = torch.zeros_like(timeline.delta, dtype=torch.bool)
        for i in reversed(range(len(self.segments))):
            begins = begins | _cuts(self.segments[i], timeline)
            marks[_begins(i)] = begins
        return self.levels(inputs, timeline.with_marks(marks), state)


def _begins(level: int) -> str:
    """The mark of where segments begin; no modality has such a name."""
    return f"begins at level {level + 1}"


def _cuts(segment: Segment, timeline: Timeline) -> Bool[Tensor, "step"]:
    """Where a gap or a marker begins a segment; a number of steps is counted elsewhere."""
    if segment.gap is not None:
        return timeline.delta > segment.gap
    if segment.marker is not None:
        return timeline.marks[segment.marker]
    return torch.zeros_like(timeline.delta, dtype=torch.bool)
