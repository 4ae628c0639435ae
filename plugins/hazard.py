from typing import Literal

import torch
from torch import Tensor

from mmseq.heads import heads
from mmseq.heads.survival import EventTimeConfig, SurvivalHead


class HazardConfig(EventTimeConfig):
    kind: Literal["hazard"]


@heads.register(HazardConfig)
class HazardHead(SurvivalHead):
    """Discrete-time hazards h = 1 - exp(-exp(x)), which move as those of continuous time do.

    So a unit of x is the same hazard ratio in bins of any width, where a logit's is a ratio of odds.
    Source: Prentice and Gloeckler 1978, "Regression analysis of grouped survival data with application to
    breast cancer data".
    """

    @staticmethod
    def link(hazard: Tensor) -> Tensor:
        return (-(-hazard).log1p()).log()

    def hazards(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        cumulative = parameters.clamp(-30, 30).exp()
        return cumulative, -torch.log(-(-cumulative).expm1())
