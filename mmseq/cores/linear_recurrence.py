"""What `min_gru`, `min_lstm` and `lru` share: states, layers, and the clock."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core
from mmseq.cores.recurrent import RecurrentOptions
from mmseq.cores.scan import Cut, cut
from mmseq.random import Dropout
from mmseq.state import State


class LinearOptions(RecurrentOptions):
    """Fields that the configs of these cores have in common."""

    delta_power: float = Field(
        0.25,
        ge=0,
        allow_inf_nan=False,
        description="states fade with this power of the time since the previous step, at first; each unit "
        "learns its own. 0 counts steps alike whatever their distance",
    )


class LinearLayer(nn.Module):
    """One linear recurrence: all that it does with time is a scan."""

    @abstractmethod
    def forward(
        self,
        x: Float[Tensor, "step width"],
        elapsed: Float[Tensor, "step"],
        begin: list[Tensor] | None,
        where: Cut,
    ) -> tuple[Float[Tensor, "step hidden"], list[Tensor]]:
        """Outputs, and each part of the state after each step.

        Args:
            x: inputs.
            elapsed: see `log_delta`.
            begin: each part of the state (row, hidden) of the samples that have a step; None is zero.
            where: see `mmseq.cores.scan.cut`.
        """


class LinearRecurrentCore(Core):
    """Layers of one linear recurrence over the flat steps of all samples.

    Attributes:
        parts: the names of the tensors in the state, each (sample, layer, hidden).
        layers: from the inputs upwards.
    """

    parts: ClassVar[tuple[str, ...]] = ("hidden",)

    def __init__(self, layers: Sequence[LinearLayer], hidden: int, dropout: float) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in layers)

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        device = inputs.device.type
        if torch.is_autocast_enabled(device):
            # In half precision a state loses what it gathers slowly.
            with torch.autocast(device, enabled=False):
                return self.forward(inputs.to(next(self.parameters()).dtype), timeline, state)
        where = cut(timeline, self.hidden)
        everyone = len(where.running) == timeline.n_samples
        elapsed = log_delta(timeline, inputs.dtype)
        before = None
        if state is not None:
            self.check_state(state, self.parts)
            before = [state[part].to(inputs.dtype) for part in self.parts]
        x, ends = inputs, []
        for i, layer in enumerate(self.layers):
            begin = None if before is None else [part[:, i] for part in before]
            if begin is not None and not everyone:
                begin = [part.index_select(0, where.running) for part in begin]
            x, after = layer(x, elapsed, begin, where)
            x = self.dropout[i](x, timeline)
            if timeline.continues:
                ends.append(after if where.single else [part.index_select(0, where.last) for part in after])
        if not timeline.continues:
            return x, {}
        end = [torch.stack(part, 1) for part in zip(*ends, strict=True)]
        if not everyone:
            waiting = before or [part.new_zeros(timeline.n_samples, *part.shape[1:]) for part in end]
            end = [old.index_copy(0, where.running, new) for old, new in zip(waiting, end, strict=True)]
        return x, dict(zip(self.parts, end, strict=True))


def log_delta(timeline: Timeline, dtype: torch.dtype) -> Float[Tensor, "step"]:
    """Log of the time since the previous step; 0 at a sample's very first, which has none.

    In the logarithm another unit of time is another constant, which a learned rate takes up.
    """
    return torch.where(timeline.delta > 0, timeline.delta, 1.0).to(dtype).log()
