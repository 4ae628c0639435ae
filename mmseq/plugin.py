"""Single-file plugins: importing the file registers what it offers."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from mmseq.errors import ConfigError, PluginError
from mmseq.registry import FAMILIES, Registry, family


def load_plugin(path: Path) -> None:
    """Imports a single-file plugin, which registers what it offers; a second time it does nothing.

    Raises:
        ConfigError: there is no such file.
        PluginError: it cannot be imported, or registers nothing; what it did register is undone.
    """
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"plugin {path}: no such file; a path in a YAML is relative to that YAML")
    if path.suffix != ".py":
        raise PluginError(f"plugin {path}: not a Python file; a single-file plugin ends in .py")
    name = f"mmseq_plugin_{path.stem}"
    if name not in sys.modules:
        _import(name, path)
    elif (other := sys.modules[name].__file__) != str(path):
        raise PluginError(f"plugin {path}: {other} has the same name; rename one")


def _import(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not _registered_by(name):
            raise PluginError(
                f"plugin {path}: registered nothing; its class needs e.g. @encoders.register(…)"
            )
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        for registry, kind in _registered_by(name):
            del registry._classes[kind]
        raise _as_plugin_error(path, error) from error


def _registered_by(module: str) -> list[tuple[Registry[Any], str]]:
    return [
        (registry, kind)
        for registry in map(family, FAMILIES)
        for kind, (_, cls) in registry._classes.items()
        if cls.__module__ == module
    ]


def _as_plugin_error(path: Path, error: BaseException) -> PluginError:
    where = str(path)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == where]
    if lines:
        where = f"{path}:{lines[-1]}"
    if isinstance(error, PluginError):
        message = str(error)
        return PluginError(message if message.startswith("plugin ") else f"plugin {where}: {message}")
    return PluginError(
        f"plugin {where}: importing failed with {type(error).__name__}: {error}; mend the file"
    )
