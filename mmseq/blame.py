"""An exception that nobody foresaw: whether a plugin raised it, and where."""

from __future__ import annotations

import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmseq.errors import ComponentError
from mmseq.registry import FAMILIES

Frame = tuple[str, int]
"""A file, and a line that was running in it."""


def plugin_error(error: BaseException) -> ComponentError | None:
    """The error to tell instead, where the exception came out of a plugin; None where it did not."""
    foreign = list(_foreign())
    frames = [frame for frame in reversed(_frames(error)) if any(_is_in(frame, c) for _, c in foreign)]
    if not frames:
        return None
    file, line = frames[0]
    named = [name for frame in frames for name, component in foreign if _is_inside(frame, component)]
    named = named[:1] or [name for name, component in foreign if _is_in(frames[0], component)]
    excerpt = linecache.getline(file, line).strip()
    return ComponentError(
        f"plugin {file}:{line}: {', '.join(named)} failed with {_told(error)}; mend the plugin"
        + (f"\n    {excerpt}" if excerpt else "")
    )


def plugins_in_use() -> list[str]:
    """Components that are loaded and not ours, as messages call them."""
    return [name for name, _ in _foreign()]


def _foreign() -> Iterator[tuple[str, type]]:
    """What a component is called, and its class. Imports nothing."""
    for family in FAMILIES:
        registry: Any = getattr(sys.modules.get(f"mmseq.{family}"), family, None)
        for kind, (_, component) in getattr(registry, "_classes", {}).items():
            if component.__module__.partition(".")[0] != "mmseq":
                yield f"{family} {kind!r}", component


def _frames(error: BaseException) -> list[Frame]:
    """Outermost first; those of a process that assembles batches stand in the text it was told with."""
    frames = [(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)]
    there = re.findall(r'^  File "(.+)", line (\d+), in ', str(error), re.MULTILINE)
    return frames + [(file, int(line)) for file, line in there]


def _told(error: BaseException) -> str:
    kind, text = type(error).__name__, str(error).rstrip()
    start = text.rfind(f"\n{kind}: ")  # behind the traceback of another process
    return text[start + 1 :] if start >= 0 else f"{kind}: {text}"


def _is_in(frame: Frame, component: type) -> bool:
    """Whether a frame is in the file that defines a component, or in the package it is part of."""
    package = sys.modules.get(component.__module__.partition(".")[0])
    place = getattr(package, "__file__", None) or _file(component)
    if place is not None and Path(place).name == "__init__.py":
        return Path(place).parent in Path(frame[0]).parents
    return place == frame[0]


def _is_inside(frame: Frame, component: type) -> bool:
    """Whether a frame is in the lines of the class itself."""
    if _file(component) != frame[0]:
        return False
    try:
        lines, first = inspect.getsourcelines(component)
    except OSError:
        return False
    return first <= frame[1] < first + len(lines)


def _file(component: type) -> str | None:
    return getattr(sys.modules.get(component.__module__), "__file__", None)
