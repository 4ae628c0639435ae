"""What `min_gru` and `min_lstm` share: a gate between the state and a candidate, which see inputs only."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from mmseq.cores.initialise import chrono_bias
from mmseq.cores.linear_recurrence import LinearLayer, LinearOptions, LinearRecurrentCore
from mmseq.cores.scan import Cut
from mmseq.cores.scan_gated import gated_scan


class LinearGatedOptions(LinearOptions):
    """Fields that the configs of these cores have in common."""

    chrono: int | None = Field(
        32,
        ge=2,
        description="the longest dependency to learn, in steps: units begin with memories of 2 to so many; "
        "none: all begin with short ones",
    )


class GatedLayer(LinearLayer):
    """Projects the inputs to gates and a candidate, and scans.

    Args:
        width: size of the inputs.
        hidden: size of the state.
        chrono: see `LinearGatedOptions`.
        delta_power: see `LinearOptions`.
    """

    n_projections: ClassVar[int]

    def __init__(self, width: int, hidden: int, chrono: int | None, delta_power: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, self.n_projections * hidden)
        self.delta_power = nn.Parameter(torch.full((hidden,), float(delta_power)))
        for weight in self.project.weight.detach().chunk(self.n_projections):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.project.bias)
        if chrono is not None:
            self._remember(chrono_bias(hidden, chrono))

    @abstractmethod
    def _remember(self, bias: Float[Tensor, "hidden"]) -> None:
        """Sets the biases such that f has that mean."""

    @abstractmethod
    def gates(self, projected: Float[Tensor, "step projections"]) -> Float[Tensor, "step gates"]:
        """f and the candidate v side by side, in memory of their own."""

    def forward(
        self,
        x: Float[Tensor, "step width"],
        elapsed: Float[Tensor, "step"],
        begin: list[Tensor] | None,
        where: Cut,
    ) -> tuple[Float[Tensor, "step hidden"], list[Tensor]]:
        gates = self.gates(self.project(x))
        hidden = gated_scan(gates, elapsed, self.delta_power, None if begin is None else begin[0], where)
        return hidden, [hidden]


class LinearGatedCore(LinearRecurrentCore):
    """Layers of one gated linear recurrence.

    Attributes:
        layer: the class of each.
    """

    layer: ClassVar[type[GatedLayer]]

    def __init__(
        self,
        width: int,
        *,
        hidden: int = 64,
        layers: int = 1,
        dropout: float = 0.0,
        delta_power: float = 0.25,
        chrono: int | None = 32,
    ) -> None:
        widths = [width, *[hidden] * (layers - 1)]
        super().__init__([self.layer(size, hidden, chrono, delta_power) for size in widths], hidden, dropout)
