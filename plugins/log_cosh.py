import math
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, heads
from mmseq.heads.linear import LinearHead


class LogCoshConfig(ColumnsConfig):
    kind: Literal["log_cosh"]


@heads.register(LogCoshConfig)
class LogCoshHead(LinearHead):
    """Numbers under log cosh of the error, Saleh and Saleh 2022: half its square, later its size - log 2."""

    @classmethod
    def constant(cls, config: Any, values: np.ndarray) -> list[float]:
        return [float(np.median(values))]

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        error = (parameters - target.value).abs()
        return error + nn.functional.softplus(-2 * error) - math.log(2)
