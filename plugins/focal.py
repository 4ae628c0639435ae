from typing import Literal

from pydantic import Field
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import ColumnsConfig, heads
from mmseq.heads.multilabel import MultilabelHead, MultilabelSpec


class FocalConfig(ColumnsConfig):
    kind: Literal["focal"]
    gamma: float = Field(2.0, ge=1, description="how fast easy labels lose weight")


@heads.register(FocalConfig)
class FocalHead(MultilabelHead):
    """Yes-or-no labels under the focal loss of Lin et al. 2017: (1 - p)^gamma · (-log p) of the truth."""

    def __init__(self, spec: MultilabelSpec, hidden: int, *, gamma: float) -> None:
        super().__init__(spec, hidden)
        self.gamma = gamma

    def loss(self, parameters: Tensor, target: Target) -> Tensor:
        loss = super().loss(parameters, target)
        return (-(-loss).expm1()) ** self.gamma * loss
