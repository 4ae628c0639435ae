"""Modules by a user's names."""

from __future__ import annotations

from collections.abc import ItemsView, ValuesView
from typing import Any, Generic, TypeVar, cast

from torch import nn

Part = TypeVar("Part", bound=nn.Module)


class Parts(nn.ModuleDict, Generic[Part]):
    """A dict of modules whose names may be any word; torch's own refuses `type`, `values` and more."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self._modules[name] = module  # type: ignore[assignment]

    def __setattr__(self, name: str, value: Any) -> None:
        # `training` is set on every module: it means the dict itself, never one of its parts.
        object.__setattr__(self, name, value)

    def __getitem__(self, name: str) -> Part:
        return cast(Part, self._modules[name])

    def items(self) -> ItemsView[str, Part]:
        return cast("ItemsView[str, Part]", super().items())

    def values(self) -> ValuesView[Part]:
        return cast("ValuesView[Part]", super().values())
