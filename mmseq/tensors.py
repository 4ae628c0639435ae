"""Tensors as bytes: safetensors, which can hold nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
from torch import Tensor


def dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors → bytes, whatever their strides and wherever they share memory."""
    return safetensors.torch.save(
        {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    )


def parse_tensors(content: bytes) -> dict[str, Tensor]:
    """Bytes → named tensors, on the CPU."""
    return safetensors.torch.load(content)
