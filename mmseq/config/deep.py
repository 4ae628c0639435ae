"""Fields anywhere within a config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from mmseq.config.places import Loc


def fields_named(tree: Any, name: str, loc: Loc = ()) -> Iterator[tuple[Loc, Any]]:
    """Every field of that name in a config, however deep."""
    parts: Iterable[tuple[str | int, Any]] = ()
    if isinstance(tree, BaseModel | dict):
        parts = (tree if isinstance(tree, dict) else vars(tree)).items()
    elif isinstance(tree, list):
        parts = enumerate(tree)
    for key, value in parts:
        if isinstance(tree, BaseModel) and key == name:
            yield (*loc, key), value
        yield from fields_named(value, name, (*loc, key))
