"""Texts read token after token."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny, field_validator
from torch import Tensor, nn

from mmseq.batch import TextEvents, Timeline
from mmseq.config.deep import fields_named
from mmseq.cores import CoreConfig, cores
from mmseq.cores.nested import InnerCore
from mmseq.encoders import Encoder, EncoderConfig, encoders
from mmseq.readouts import ReadoutConfig, readouts


class TextConfig(EncoderConfig):
    kind: Literal["text"]
    embedding: PositiveInt = Field(32, description="size of a token's vector")
    core: InnerCore = Field(
        default_factory=lambda: cores.parse({"kind": "gru", "hidden": 64}),
        description="what reads the tokens; any core",
    )
    readout: Annotated[SerializeAsAny[ReadoutConfig], BeforeValidator(readouts.parse)] = Field(
        default_factory=lambda: readouts.parse({"kind": "last"}),
        description="how the tokens of a text become one vector",
    )

    @field_validator("core")
    @classmethod
    def _within_a_text(cls, core: CoreConfig) -> CoreConfig:
        """What needs the sample around a text is not there within it."""
        if any(rate for _, rate in fields_named(core, "dropout")):
            raise ValueError("dropout does nothing within a text; leave it out")
        if any(marker is not None for _, marker in fields_named(core, "marker")):
            raise ValueError("there are no markers within a text; cut segments by steps")
        return core


@encoders.register(TextConfig)
class TextEncoder(Encoder):
    """A core over the tokens of each event, a readout of it, and a linear map to the width.

    Tokens are the steps of the event, one time unit apart; an event without any reads as zeros.
    """

    reads = TextEvents

    def __init__(
        self, spec: Any, width: int, *, embedding: int, core: CoreConfig, readout: ReadoutConfig
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(spec.size, embedding)
        self.core = cores.build(core, embedding)
        self.readout = readouts.build(readout, self.core.hidden)
        self.linear = nn.Linear(self.core.hidden, width)

    def forward(self, events: TextEvents) -> Float[Tensor, "event width"]:
        n_tokens = len(events.token)
        time = torch.arange(n_tokens, dtype=torch.float64, device=events.token.device)
        first = events.starts[:-1].index_select(0, events.event)
        place = time - first
        timeline = Timeline(events.starts, place, (place > 0).to(torch.float32))
        hidden, _ = self.core(self.table(events.token), timeline, None)
        read, _ = self.readout(hidden, timeline, None, None)
        return self.linear(read)
