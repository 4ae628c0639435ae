"""What cores that are made of other cores share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, SerializeAsAny

from mmseq.cores import Core, CoreConfig, cores
from mmseq.state import State

InnerCore = Annotated[SerializeAsAny[CoreConfig], BeforeValidator(cores.parse)]
"""A field that holds the config of any registered core."""


def is_causal(config: CoreConfig) -> bool:
    """Whether the core that this config describes, with all cores inside it, can stream."""
    inner = (found for value in vars(config).values() for found in _cores(value))
    return cores.component_class(config.kind).causal and all(map(is_causal, inner))


def _cores(value: Any) -> Iterator[CoreConfig]:
    """The outermost core configs in a field's value."""
    if isinstance(value, CoreConfig):
        yield value
    elif isinstance(value, BaseModel):
        yield from _cores(list(vars(value).values()))
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _cores(item)


def marks_of(inner: Iterable[Core]) -> tuple[str, ...]:
    """The marks that any of these cores wants, each once."""
    return tuple(dict.fromkeys(name for core in inner for name in core.marks))


def check_state(core: Core, state: State, names: Iterable[str], may_be_empty: Iterable[str] = ()) -> None:
    """Raises ValueError where a state is not what this core returns.

    Args:
        core: it came to this one.
        state: what came.
        names: of the parts that the core returns.
        may_be_empty: those among them that may hold nothing, and so may be left out.
    """
    names = tuple(names)
    if not set(names) - set(may_be_empty) <= set(state) <= set(names):
        raise ValueError(
            f"{type(core).__name__}: a state holds {', '.join(names)}; got {', '.join(state) or 'nothing'}; "
            "pass the state of a call whose timeline has continues=True"
        )
