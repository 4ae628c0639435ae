"""Numbers under a smooth robust loss: squared near the truth, absolute far from it."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, heads
from mmseq.heads.regression import RegressionHead, RegressionSpec, Transform


class LogCoshConfig(ColumnsConfig):
    kind: Literal["log_cosh"]
    transform: Transform | None = None


@heads.register(LogCoshConfig)
class LogCoshHead(RegressionHead):
    """log cosh(z − ẑ), of the standardised number."""

    def __init__(self, spec: RegressionSpec, hidden: int, *, transform: Transform | None) -> None:
        super().__init__(spec, hidden, transform=transform)

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        distance = (self.standardise(target.value).to(parameters) - self.location(parameters)).abs()
        return distance + softplus(-2 * distance) - math.log(2)
