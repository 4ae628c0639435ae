"""Where in a text something stands, and how to show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

Loc = tuple[str | int, ...]
"""The way to a node of the tree: keys of maps, indices of lists."""

_SHOWN = 120


@dataclass(frozen=True)
class Text:
    """What was read: a file, or one value of the command line.

    Attributes:
        name: the file as the user named it, or the option with its value.
        content: all of it.
        inline: the name shows all there is, as for `--set a.b=value`.
    """

    name: str
    content: str
    inline: bool = False

    @cached_property
    def lines(self) -> list[str]:
        """Its lines, ended by what YAML's scanner takes for an end of line."""
        return re.split(r"\r\n|[\n\r\x85\u2028\u2029]", self.content)


@dataclass(frozen=True)
class Point:
    """A point in a text; line and column count from 0."""

    text: Text
    line: int
    column: int

    def __str__(self) -> str:
        name = printable(self.text.name)
        return name if self.text.inline else f"{name}:{self.line + 1}:{self.column + 1}"

    def excerpt(self) -> str:
        """The line with a caret below the column; of a long line, the part around it."""
        if self.text.inline or self.line >= len(self.text.lines):
            return ""
        line = self.text.lines[self.line]
        first = 0 if self.column < _SHOWN * 3 // 4 else self.column - _SHOWN // 2
        shown = "".join(c if c.isprintable() or c == "\t" else "·" for c in line[first : first + _SHOWN])
        indent = re.sub(r"[^\t]", " ", shown[: self.column - first])
        return f"    {shown}\n    {indent}^"


def dotted(loc: Loc) -> str:
    """The way to a node as `--set` spells it: `tasks.level.kind`; what cannot be printed is escaped."""
    return ".".join(printable(str(part)) or "''" for part in loc)


def printable(text: str) -> str:
    """The text with what cannot be printed escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
