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
    over: Literal["present", "known"] = Field(
        "present",
        description="modalities that are observed at the very step (static ones always are), or all that "
        "were ever observed, each with its last value",
    )

    @model_validator(mode="after")
    def _even(self) -> AttentionConfig:
        if self.width % self.heads:
            raise ValueError(f"heads: must divide width, {self.width}; got {self.heads}")
        return self


@fusions.register(AttentionConfig)
class AttentionFusion(Fusion):
    """W_o [c_1, …, c_H] + W_r r + b, where head h reads c_h = Σ_m α_hm v_hm.

    r = [clock, presence_1, age_1, presence_2, …] tells of the step. Each modality says u_m = x_m + e_m: its
    vector, and which one it is. Keys k_m = W_k u_m, values v_m = W_v u_m and the query q = W_q r + b_q are
    cut into H heads of d numbers each. With s_hm = q_h · k_hm / √d the weights are
    α_hm = exp(s_hm) / (1 + Σ_j exp(s_hj)), where m and j go over the modalities that are observed at this
    very step (`over: present`), or were ever observed (`over: known`). All others have a weight of exactly 0.

    What is absent was read when it came, and the core remembers it; read again at every step it weighs on
    what is new. The 1 is a slot that says nothing, as `add_zero_attn` of PyTorch's attention: weights need
    not add up to 1, so a modality that has nothing to say can be left unread, even alone; and where none is
    there, the step is W_r r + b.

    Source: Hori et al. 2017, "Attention-based multimodal fusion for video description", with the scaled
    product and heads of Vaswani et al. 2017, "Attention is all you need", eq. 1.
    """

    def __init__(
        self,
        modalities: Sequence[str],
        n_clock: int,
        *,
        width: int,
        heads: int,
        over: Literal["present", "known"],
    ) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.modalities = tuple(modalities)
        self.over = over
        n = len(self.modalities)
        self.names = nn.Parameter(torch.randn(n, width) * 0.5)
        self.keys_and_values = nn.Linear(width, 2 * width, bias=False)
        self.query = nn.Linear(n_clock + 2 * n, width)
        self.output = nn.Linear(width, width)
        self.step = nn.Linear(n_clock + 2 * n, width, bias=False)
        for weight in (*self.keys_and_values.weight.chunk(2), self.output.weight):
            nn.init.xavier_uniform_(weight)
        with torch.no_grad():
            self.output.weight.mul_(n**0.5)  # a mean over modalities is that much smaller than each of them

    def forward(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> Float[Tensor, "step width"]:
        weights, values, told = self.read(seen, clock)
        return self.output(torch.einsum("shm,smhd->shd", weights, values).flatten(1)) + self.step(told)

    def read(
        self, seen: Mapping[str, Seen], clock: Float[Tensor, "step clock"]
    ) -> tuple[
        Float[Tensor, "step head modality"],
        Float[Tensor, "step modality head part"],
        Float[Tensor, "step mark"],
    ]:
        """α and v of every modality, in the order in which the fusion was built, and r."""
        parts = [seen[name] for name in self.modalities]
        told = torch.cat([clock, *(one.marks() for one in parts)], 1)
        said = torch.stack([one.values for one in parts], 1) + self.names
        cut = (*said.shape[:2], self.heads, self.width // self.heads)
        key, value = (x.view(cut) for x in self.keys_and_values(said).chunk(2, -1))
        query = self.query(told).view(-1, *cut[2:]) * cut[-1] ** -0.5
        scores = torch.einsum("shd,smhd->shm", query, key)
        there = torch.stack([one.present | ((self.over == "known") & (one.age >= 0)) for one in parts], 1)
        scores = scores.masked_fill(~there[:, None], -torch.inf)
        return F.pad(scores, (1, 0)).softmax(-1)[..., 1:], value, told
