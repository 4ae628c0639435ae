"""Paths that a configuration names: relative to the file that names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

_folder: ContextVar[Path] = ContextVar("folder of the configuration being read")


@contextmanager
def relative_to(folder: Path) -> Iterator[None]:
    """While it lasts, every `YamlPath` that is validated, by plugins too, is taken from `folder`."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def resolve_path(path: Path) -> Path:
    """An absolute path; a relative one starts at the configuration's folder, or where we are.

    Raises:
        ValueError: there can be no such path: a `~name` without a home, links in a circle, a zero in it.
    """
    try:
        return (_folder.get(Path()) / path.expanduser()).resolve()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"must be a path; came {str(path)!r}: {error}; write another") from error


YamlPath = Annotated[Path, Field(strict=False), AfterValidator(resolve_path)]
"""Type of a config field that holds a path."""
