"""A learned vector for each code, and one along which its number moves it."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmseq.batch import MeasurementEvents
from mmseq.encoders import Encoder, EncoderConfig, encoders


class MeasurementConfig(EncoderConfig):
    kind: Literal["measurement"]


@encoders.register(MeasurementConfig)
class MeasurementEncoder(Encoder):
    """e_c + o · (u + z · v_c) + t_w of an event with code c, text w and number z; o is 1 where it has one.

    Each code has two vectors, e_c and v_c, and each text one; u says that there is a number. What is missing
    is the zero vector. Rare codes and unknown texts start there, and learn where the training split has some.

    Source: the feature tokenizer of Gorishniy et al. 2021 ("Revisiting deep learning models for tabular
    data"), b_j + x_j · W_j for a number x_j of feature j; here the feature is the code.
    """

    reads = MeasurementEvents

    def __init__(self, spec: Any, width: int) -> None:
        super().__init__()
        std = (2 if spec.texts is None else 3) ** -0.5
        self.codes = _table(len(spec.codes), 2 * width, std)  # side by side: one look-up for both
        self.texts = None if spec.texts is None else _table(len(spec.texts), width, std)
        self.number = nn.Parameter(torch.zeros(width))

    def forward(self, events: MeasurementEvents) -> Float[Tensor, "event width"]:
        vector, slope = self.codes(events.code).chunk(2, 1)
        moved = torch.addcmul(self.number, events.values[:, None], slope)
        encoded = vector * (events.code > 0)[:, None] + moved * events.observed[:, None]
        if self.texts is None or events.text is None:
            return encoded
        return encoded + self.texts(events.text) * (events.text > 0)[:, None]


def _table(n_known: int, width: int, std: float) -> nn.Embedding:
    """Rows for what is missing, what is rare, and each known one."""
    table = nn.Embedding(n_known + 2, width)
    nn.init.normal_(table.weight, std=std)
    with torch.no_grad():
        table.weight[:2] = 0
    return table
