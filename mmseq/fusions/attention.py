"""Attention over the modalities of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from mmseq.fusions import Fusion, FusionConfig, Seen, fusions


class AttentionConfig(FusionConfig):
    kind: Literal["attention"]
    width: PositiveInt = Field(64, description="size of every encoder's output and of the fused step")
    heads: PositiveInt = Field(4, description="ways of weighing side by side; divides `width`")
    over: Literal["known", "present"] = Field(
        "known",
        description="modalities that have ever been observed, each with its last value, or only those "
        "that are observed at the very step",
    )

    @model_validator(mode="after")
    def _even(self) -> AttentionConfig:
        if self.width % self.heads:
            raise ValueError(f"heads: must divide width, {self.width}; got {self.heads}")
        return self


@fusions.register(AttentionConfig)
class AttentionFusion(Fusion):
    """W_o [c_1, …, c_H] + W_c clock + b, where head h reads c_h = Σ_m α_hm v_hm.

    u_m = x_m + W_m [presence_m, age_m] + e_m is what modality m says, and which one it is. Its keys
    k_m = W_k u_m and values v_m = W_v u_m, and the step's query q = W_q clock + b_q, are cut into H heads of
    d numbers each. With s_hm = q_h · k_hm / √d the weights are α_hm = exp(s_hm) / (1 + Σ_j exp(s_hj)), where
    m and j go over the modalities that are known (`over: known`), or observed at this very step
    (`over: present`). All others have a weight of exactly 0.

    The 1 is a slot that says nothing, as `add_zero_attn` of PyTorch's attention: weights need not add up to
    1, so that modalities which have nothing to say can be left unread; and where none is there, the step is
    W_c clock + b.

    Source: Hori et al. 2017, "Attention-based multimodal fusion for video description", eq. 11 to 13, with
    the scaled product and heads of Vaswani et al. 2017, "Attention is all you need", eq. 1.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        n_clock: int,
        *,
        width: int,
        heads: int,
        over: Literal["known", "present"],
    ) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.modalities = tuple(modalities)
        self.over = over
        n = len(self.modalities)
        self.marks = nn.Parameter(torch.empty(n, 2, width).uniform_(-(0.5**0.5), 0.5**0.5))
        self.names = nn.Parameter(torch.randn(n, width) * 0.5)
        self.keys_and_values = nn.Linear(width, 2 * width, bias=False)
        self.query = nn.Linear(n_clock, width)
        self.output = nn.Linear(width, width)
        self.clock = nn.Linear(n_clock, width, bias=False)

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        read = self.weights_and_values(seen, clock)
        together = torch.einsum("shm,smhd->shd", *read).flatten(1)
        return self.output(together) + self.clock(clock)

    def weights_and_values(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> tuple[Float[Tensor, "step head modality"], Float[Tensor, "step modality head part"]]:
        """α and v of every modality, in the order in which the fusion was built."""
        parts = [seen[name] for name in self.modalities]
        marks = torch.stack([one.marks() for one in parts], 1)
        said = torch.stack([one.values for one in parts], 1) + self.names
        said = said + torch.einsum("smk,mkw->smw", marks, self.marks)
        cut = (*said.shape[:2], self.heads, self.width // self.heads)
        key, value = (x.view(cut) for x in self.keys_and_values(said).chunk(2, -1))
        query = self.query(clock).view(-1, *cut[2:]) * cut[-1] ** -0.5
        scores = torch.einsum("shd,smhd->shm", query, key)
        there = torch.stack([one.present | ((self.over == "known") & (one.age >= 0)) for one in parts], 1)
        scores = scores.masked_fill(~there[:, None], -torch.inf)
        return F.pad(scores, (1, 0)).softmax(-1)[..., 1:], value
