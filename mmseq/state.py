"""States: nested dicts of tensors whose first axis is the sample."""

from __future__ import annotations

from collections.abc import Callable
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
