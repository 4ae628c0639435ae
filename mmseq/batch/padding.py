"""Ragged to padded and back, for users and plugins that have padded tensors."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int64, Shaped
from torch import Tensor


def pad(
    steps: Shaped[Tensor, "step ..."], starts: Int64[Tensor, "bound"]
) -> tuple[Shaped[Tensor, "sample time ..."], Bool[Tensor, "sample time"]]:
    """Flat steps → one row a sample, zeros after its end, and the mask of real ones."""
    lengths = starts.diff()
    longest = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(longest, device=steps.device) < lengths[:, None]
    values = steps.new_zeros((len(lengths), longest, *steps.shape[1:]))
    values[mask] = steps
    return values, mask


def unpad(
    values: Shaped[Tensor, "sample time ..."], mask: Bool[Tensor, "sample time"]
) -> tuple[Shaped[Tensor, "step ..."], Int64[Tensor, "bound"]]:
    """Padded rows and their mask → flat steps and starts; the inverse of `pad`."""
    lengths = mask.sum(1)
    starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    return values[mask], starts
