"""Any core, several times one above another."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mmseq.batch import Timeline
from mmseq.cores import Core, CoreConfig, cores
from mmseq.cores.nested import InnerCore, marks_of
from mmseq.random import Dropout
from mmseq.state import State, part


class StackConfig(CoreConfig):
    """Layers of any core, with skip connections and layer normalisation."""

    kind: Literal["stack"]
    layers: PositiveInt = Field(2, description="how many of the core, one above another")
    residual: bool = Field(True, description="add each layer's inputs to its outputs")
    norm: bool = Field(True, description="normalise each layer's inputs at each step, to mean 0, variance 1")
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of each layer's outputs that is hidden, one mask a sample and layer",
    )
    core: InnerCore = Field(
        default_factory=lambda: cores.parse({"kind": "gru"}), description="the core of each layer"
    )


@cores.register(StackConfig)
class StackCore(Core):
    """x ← x + dropout(core(norm(x))) for each layer.

    Without `residual`: x ← dropout(core(norm(x))). Where the inputs are not as wide as the outputs, as may
    be in the first layer, a learned projection of x is added in place of x.

    The core is causal, and wants marks, where the layers are and do. State: that of each layer, by number.

    Source: He et al. 2016, "Identity mappings in deep residual networks", for the skip past what is
    normalised; Ba, Kiros and Hinton 2016, "Layer normalization".
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int = 2,
        residual: bool = True,
        norm: bool = True,
        dropout: float = 0.0,
        core: CoreConfig,
    ) -> None:
        super().__init__()
        built = [cores.build(core, width)]
        self.hidden = built[0].hidden
        built += [cores.build(core, self.hidden) for _ in range(layers - 1)]
        widths = [width, *[self.hidden] * (layers - 1)]
        self.layers = nn.ModuleList(built)
        self.norms = nn.ModuleList(nn.LayerNorm(size) if norm else nn.Identity() for size in widths)
        self.skips = nn.ModuleList(self._skip(size) for size in widths) if residual else None
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in widths)
        self.causal = all(layer.causal for layer in built)
        self.marks = marks_of(built)

    def _skip(self, width: int) -> nn.Module:
        return nn.Identity() if width == self.hidden else nn.Linear(width, self.hidden, bias=False)

    def forward(
        self, inputs: Float[Tensor, "step width"], timeline: Timeline, state: State | None = None
    ) -> tuple[Float[Tensor, "step hidden"], State]:
        if state is not None:
            self.check_state(state, [str(i) for i in range(len(self.layers))])
        x, after = inputs, {}
        for i, layer in enumerate(self.layers):
            y, after[str(i)] = layer(self.norms[i](x), timeline, part(state, str(i)))
            y = self.dropout[i](y, timeline)
            x = y if self.skips is None else self.skips[i](x) + y
        return x, after if timeline.continues else {}
