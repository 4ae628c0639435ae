"""What `r2n2` and `r3n3` share: levels of one kind and size."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field, PositiveInt, field_validator

from mmseq.cores import cores
from mmseq.cores.hierarchical import Level, Segment
from mmseq.cores.nested import is_causal
from mmseq.registry import did_you_mean

_NEEDED = ("hidden", "dropout")


class UniformOptions(BaseModel):
    """Fields that these configs have in common."""

    cell: str = Field("lstm", description="kind of every level's core: any that has `hidden` and `dropout`")
    hidden: PositiveInt = Field(64, description="size of every level's state, and of the outputs")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each level's outputs that is hidden, one mask a sample and level",
    )

    @field_validator("cell")
    @classmethod
    def _known(cls, cell: str) -> str:
        kinds = cores.kinds()
        if cell not in kinds:
            raise ValueError(f"must be a kind of core{did_you_mean(cell, kinds)}; known: {', '.join(kinds)}")
        if missing := [name for name in _NEEDED if name not in cores.config_class(cell).model_fields]:
            raise ValueError(
                f"{cell!r} has no `{missing[0]}`; take a kind that has, or spell the levels out with "
                "kind: hierarchical"
            )
        if not is_causal(cores.parse({"kind": cell})):
            raise ValueError(f"{cell!r} looks at later steps; take a causal kind")
        return cell


def uniform_levels(cell: str, hidden: int, dropout: float, segments: Sequence[Segment]) -> list[Level]:
    """Levels of that kind and size, one more than there are segments."""
    core = cores.parse({"kind": cell, "hidden": hidden, "dropout": dropout})
    return [Level(core=core), *(Level(core=core, segment=segment) for segment in segments)]
