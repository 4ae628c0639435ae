"""Modules by a user's names."""

from __future__ import annotations

from typing import Any

from torch import nn


class Parts(nn.ModuleDict):
    """A dict of modules whose names may be any word; torch's own refuses `type`, `values` and more."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self._modules[name] = module  # type: ignore[assignment]

    def __setattr__(self, name: str, value: Any) -> None:
        # `training` is set on every module: it means the dict itself, never one of its parts.
        object.__setattr__(self, name, value)
