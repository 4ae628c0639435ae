"""Modules by a user's names."""

from __future__ import annotations

from torch import nn


class Parts(nn.ModuleDict):
    """A dict of modules whose names may be any word; torch's own refuses `type`, `values` and more."""

    def add_module(self, name: str, module: nn.Module | None) -> None:
        self._modules[name] = module  # type: ignore[assignment]
