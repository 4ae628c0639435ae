"""States: nested dicts of tensors whose first axis is the sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from torch import Tensor

State = dict[str, Any]  # of tensors and of states; a type that names itself is beyond the shape checker


def part(state: State | None, name: str) -> State | None:
    """A nested part of a state; None where there is none."""
    return None if state is None else cast("State | None", state.get(name))


def tensors(state: State) -> dict[str, Tensor]:
    """A state that has no nested parts."""
    return cast("dict[str, Tensor]", state)


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Applies a function to every tensor of a state: `map_state(Tensor.detach, state)`."""
    return {
        name: map_state(function, value) if isinstance(value, dict) else function(value)
        for name, value in state.items()
    }


def flatten(state: State, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a state by their path, such as `core/hidden`."""
    flat: dict[str, Tensor] = {}
    for name, value in state.items():
        flat |= flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value}
    return flat


def unflatten(flat: Mapping[str, Tensor]) -> State:
    """The inverse of `flatten`, but for parts that hold nothing."""
    state: State = {}
    for path, value in flat.items():
        *parts, last = path.split("/")
        inner = state
        for name in parts:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return state
