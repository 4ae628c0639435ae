"""Comparisons whose failures say which rule is broken and what to change."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# A right component differs from itself in another batch or chunking by ≤ 1e-12, a leaking one by ≥ 1e-2.
TOLERANCE = 1e-10


class Broken(AssertionError):
    """A component breaks a rule: `where: [line of the contract:] rule; what came; what to change`."""

    def __init__(self, where: str, rule: str, came: str, remedy: str, line: str = "") -> None:
        super().__init__(f"{where}: {line}{': ' if line else ''}{rule}; {came}; {remedy}")
        self.told = (where, rule, came, remedy)

    def in_line(self, name: str) -> Broken:
        """The same, with the name of the line of the contract."""
        return Broken(*self.told, line=name)


def require(condition: bool, where: object, rule: str, came: str, remedy: str) -> None:
    """Raises AssertionError `where: rule; came; remedy` unless the condition holds."""
    if not condition:
        name = where if isinstance(where, str) else type(where).__name__
        raise Broken(name, rule, came, remedy)


def require_close(
    actual: Tensor, expected: Tensor, where: object, rule: str, remedy: str, tolerance: float = TOLERANCE
) -> None:
    """Requires |actual - expected| ≤ tolerance · max(1, |expected|) everywhere."""
    shapes = f"shapes {tuple(actual.shape)} and {tuple(expected.shape)}"
    require(actual.shape == expected.shape, where, rule, shapes, remedy)
    if expected.dtype == torch.bool:
        actual, expected = actual.double(), expected.double()
    error = ((actual - expected).abs() / expected.abs().clamp(min=1)).detach()
    worst = float(error.max()) if error.numel() else 0.0
    require(worst <= tolerance, where, rule, f"they differ by {worst:.1e}", remedy)


def require_same(
    actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: object, rule: str, remedy: str
) -> None:
    """`require_close` for each of several named tensors."""
    require(actual.keys() == expected.keys(), where, rule, f"{[*actual]} and {[*expected]}", remedy)
    for name, value in expected.items():
        require_close(actual[name], value, where, f"{rule} ({name})", remedy)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    """Each trainable parameter's gradient, taken away from it; raises AssertionError where one is None."""
    found = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        require(
            parameter.grad is not None,
            module,
            "every trainable parameter gets a gradient, zero where it has no influence",
            f"{name} has none",
            "use it in every call, also one without any samples or steps, or don't make it a parameter",
        )
        assert parameter.grad is not None
        found[name], parameter.grad = parameter.grad, None
    return found


def finite(values: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in values.values())


def saved(state: Any, where: object) -> Any:
    """A state as another process loads it; raises AssertionError where it cannot be saved and loaded."""
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        return torch.load(file, weights_only=True)
    except Exception as error:
        came = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        require(False, where, "what is remembered can be saved and loaded", came, "keep it in plain tensors")
