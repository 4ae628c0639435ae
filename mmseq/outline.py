"""The weights that a model would have, known before there is memory for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Outline = Mapping[str, tuple[torch.Size, torch.dtype]]


def outline(build: Callable[..., nn.Module], *arguments: Any) -> Outline | None:
    """Names, shapes and dtypes of the weights of what `build` would make of the arguments.

    None where a component cannot be built without memory: then only building it tells.
    """
    try:
        with torch.device("meta"):
            module = build(*arguments)
    except Exception:  # a component's own; building it in earnest raises it again
        return None
    return {name: (value.shape, value.dtype) for name, value in module.state_dict().items()}


def check_weights(weights: Mapping[str, Tensor], expected: Outline | None) -> None:
    """Raises ValueError where weights are not those of a model."""
    dtypes = {value.dtype for value in weights.values() if value.is_floating_point()}
    if not dtypes < {torch.float32, torch.float64}:
        raise ValueError(f"weights are all float32 or all float64; came {sorted(map(str, dtypes))}")
    if expected is None:
        return
    if strange := sorted(weights.keys() ^ expected.keys()):
        raise ValueError(f"weight {strange[0][:100]!r} is missing, or the model has none of that name")
    for name, (shape, dtype) in expected.items():
        value = weights[name]
        right = value.is_floating_point() if dtype.is_floating_point else value.dtype == dtype
        if value.shape != shape or not right:
            came = f"{value.dtype} {tuple(value.shape)}"
            raise ValueError(f"weight {name!r} must be {dtype} {tuple(shape)}; came {came}")
