"""Which config class, and which of its fields, stands at a place of the tree."""

from __future__ import annotations

import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mmseq.config.places import Loc
from mmseq.registry import FAMILIES, ComponentConfig, family


def model_at(root: type[BaseModel], tree: Any, loc: Loc) -> type[BaseModel] | None:
    """The class that checks the map at `loc`; None where no class does."""
    kinds: list[Any] = [root]
    for part in loc:
        model = _model(kinds, tree)
        if model is not None:
            field = model.model_fields.get(str(part))
            kinds = list(_alternatives(field.annotation)) if field else []
        else:
            kinds = [item for kind in kinds for item in _items(kind)]
        tree = _get(tree, part)
    return _model(kinds, tree)


def field_at(root: type[BaseModel], tree: Any, loc: Loc) -> FieldInfo | None:
    """The field that a value at `loc` belongs to."""
    model = model_at(root, tree, loc[:-1]) if loc else None
    return model.model_fields.get(str(loc[-1])) if model else None


def _model(kinds: Iterable[Any], tree: Any) -> type[BaseModel] | None:
    kinds = list(kinds)
    for kind in [kind for kind in kinds if _is_of_kind(kind, _get(tree, "kind"))] or kinds:
        if isinstance(kind, type) and issubclass(kind, ComponentConfig):
            return _chosen(kind, tree)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        if get_origin(kind) is list and isinstance(tree, dict):  # one, where a list is meant
            return _model(_items(kind), tree)
    return None


def _is_of_kind(model: Any, name: Any) -> bool:
    """Whether it is the one of several classes that a map's `kind` names."""
    field = getattr(model, "model_fields", {}).get("kind")
    return field is not None and name in get_args(field.annotation)


def _chosen(base: type[ComponentConfig], tree: Any) -> type[ComponentConfig]:
    """The registered class of the kind that the tree names, of the family of `base`."""
    name = _get(tree, "kind")
    for registry in map(family, FAMILIES):
        if base is registry.base and isinstance(name, str) and name in registry.kinds():
            return registry.config_class(name)
    return base


def _alternatives(annotation: Any) -> Iterable[Any]:
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for inner in get_args(annotation):
            yield from _alternatives(inner)
    else:
        yield annotation


def _items(kind: Any) -> Iterable[Any]:
    """What a list or a map holds."""
    if get_origin(kind) in (list, dict, tuple):
        yield from _alternatives(get_args(kind)[-1])


def _get(tree: Any, part: str | int) -> Any:
    if isinstance(tree, dict):
        return tree.get(part)
    if isinstance(tree, list) and isinstance(part, int) and part < len(tree):
        return tree[part]
    return getattr(tree, str(part), None)
