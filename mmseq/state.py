"""States: nested dicts of tensors whose first axis is the sample."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

State = dict[str, "Tensor | State"]


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Applies a function to every tensor of a state: `map_state(Tensor.detach, state)`."""
    return {
        name: map_state(function, value) if isinstance(value, dict) else function(value)
        for name, value in state.items()
    }
