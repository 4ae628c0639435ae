"""Tensors as bytes: safetensors, which can hold nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
from torch import Tensor

from mmseq.errors import CheckpointError


def dump_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Named tensors → bytes, whatever their strides and wherever they share memory."""
    return safetensors.torch.save(
        {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    )


def parse_tensors(content: bytes, where: object = "tensors") -> dict[str, Tensor]:
    """Bytes → named tensors, on the CPU.

    Args:
        content: of a safetensors file.
        where: the file that they stand in.

    Raises:
        CheckpointError: they are no tensors.
    """
    try:
        return safetensors.torch.load(content)
    except Exception as error:  # whatever a parser raises, it is the file's fault
        told = str(error)[:200] or type(error).__name__
        raise CheckpointError(f"{where}: must be whole safetensors; {told}; copy it again") from error
