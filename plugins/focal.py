"""Yes-or-no labels under the focal loss, for labels that are rare or mostly easy."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from mmseq.batch import Target
from mmseq.heads import heads
from mmseq.heads.multilabel import MultilabelConfig, MultilabelHead, MultilabelSpec


class FocalConfig(MultilabelConfig):
    kind: Literal["focal"]
    gamma: float = Field(2.0, ge=1, description="how fast a label loses weight as it gets easy")


@heads.register(FocalConfig)
class FocalHead(MultilabelHead):
    """(1 − p)^γ · (−log p) of each label's truth. Source: Lin et al. 2017, https://arxiv.org/abs/1708.02002"""

    def __init__(self, spec: MultilabelSpec, hidden: int, *, gamma: float) -> None:
        super().__init__(spec, hidden)
        self.gamma = gamma

    def loss(
        self, parameters: Float[Tensor, "label parameter"], target: Target
    ) -> Float[Tensor, "label column"]:
        loss = super().loss(parameters, target)
        return (-(-loss).expm1()) ** self.gamma * loss
