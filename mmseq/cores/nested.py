"""What cores that are made of other cores share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, SerializeAsAny

from mmseq.cores import Core, CoreConfig, cores

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
