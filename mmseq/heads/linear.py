"""What heads share whose parameters are one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from mmseq.batch import Target
from mmseq.errors import PluginError
from mmseq.heads import Head, Labels, Spec


class LinearSpec(Spec):
    """What is the same for every sample.

    Attributes:
        columns: names of the label columns.
        start: the parameters that fit the training split best without any inputs.
    """

    columns: list[str]
    start: list[float]


class LinearHead(Head):
    """Parameters = W·h + b; b begins as the parameters of the prediction that needs no inputs.

    A subclass writes `constant` and `loss`, and `predicted` where a parameter is not yet the number; or a
    `fit` and Spec of its own, whose parameters it passes as `start`.
    """

    Spec: ClassVar[type[Any]] = LinearSpec
    scored = ("mae",)

    start: Tensor

    def __init__(self, spec: Any, hidden: int, start: Sequence[float] | Tensor | None = None) -> None:
        super().__init__()
        self.spec = spec
        first = torch.as_tensor(spec.start if start is None else start, dtype=torch.float64)
        self.register_buffer("start", first.to(torch.get_default_dtype()), persistent=False)
        self.linear = nn.Linear(hidden, len(first))
        with torch.no_grad():
            self.linear.bias.copy_(first)

    @classmethod
    def constant(cls, config: Any, values: Float64[np.ndarray, "_label"]) -> Sequence[float]:
        """The parameters that fit a column best without any inputs; it has at least one label.

        Raises:
            PluginError: neither this nor `fit` is written.
        """
        raise PluginError(f"{cls.__name__}: must have `constant` or a `fit`; came neither; write one of them")

    @classmethod
    def fit(cls, config: Any, facts: Labels) -> Any:
        """`constant` of each column, one after the other. Raises DataError where one has no label."""
        cls.check(facts)
        start: list[float] = []
        for name, column in zip(facts.columns, facts.values.astype(np.float64).T, strict=True):
            seen = column[~np.isnan(column)]
            if not len(seen):
                raise facts.lacking(name)
            start += [float(parameter) for parameter in cls.constant(config, seen)]
        return LinearSpec(columns=list(facts.columns), start=start)

    def forward(self, hidden: Float[Tensor, "query hidden"]) -> Float[Tensor, "query parameter"]:
        return self.linear(hidden)

    def predicted(self, parameters: Float[Tensor, "query parameter"]) -> Float[Tensor, "query column"]:
        """The number that is told of each column: here, its one parameter."""
        return parameters

    def decode(self, parameters: Float[Tensor, "query parameter"]) -> dict[str, np.ndarray]:
        return self.named({"": self.predicted(parameters.double())})

    def scores(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> dict[str, Float[Tensor, "label column"]]:
        return {"mae": (self.predicted(parameters.double()) - target.value).abs()}

    def baseline(self, target: Target) -> Float[Tensor, "label parameter"]:
        """What the training split tells."""
        return self.start.expand(len(target), -1)
