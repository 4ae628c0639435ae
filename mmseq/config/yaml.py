"""YAML 1.2 core schema → plain values, knowing where each of them stands.

PyYAML scans and parses; what its events mean is decided here. Aliases, tags, duplicate keys, deep
nesting and large files are errors: a configuration needs none of them, and each has surprised someone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml import events

from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.places import Loc, Point, Text
from mmseq.config.scalars import resolve
from mmseq.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 32

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both give the same events; the first is faster

_HINTS = {
    "mapping values are not allowed": "quote a text that holds `: `, and give each key a line of its own",
    "cannot start any token": "indent by spaces, and quote a text that starts with a sign",
    "characters are not allowed": "remove it",
    "maximum nesting depth": "flatten it",
}
_KEY = re.compile(r"""([^\s,{}\[\]:#'"]{1,100})["']?\s{0,9}:(?=\s|$)""")


@dataclass
class Document:
    """A tree of plain values with the place of each.

    Attributes:
        value: maps as dict, lists, and scalars.
        keys: where the key that names a node stands.
        values: where the node itself starts.
    """

    value: Any
    keys: dict[Loc, Point] = field(default_factory=dict)
    values: dict[Loc, Point] = field(default_factory=dict)


def read_yaml(path: Path) -> Document:
    """Reads a file. Raises ConfigError where it cannot be read or breaks a rule."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter: a path that holds a zero
        said = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read: {said}; name a YAML file") from error
    if len(content) > MAX_BYTES:
        message = f"a configuration has at most {MAX_BYTES} bytes; keep data in files beside it"
        raise ConfigProblems([Problem((), message, _after(MAX_BYTES, content, path))])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Not `error.start`: that leaves out the mark at the start of the file.
        start = len(content) - len(error.object) + error.start
        message = f"a configuration is UTF-8; came the byte 0x{content[start]:02x}; save the file as UTF-8"
        place = _after(start, content, path)
        raise ConfigProblems([Problem((), message + _near(place), place)]) from error
    return parse_yaml(Text(str(path), text))


def _after(n: int, content: bytes, path: Path) -> Point:
    """Where the first n bytes of a file end."""
    text = Text(str(path), content.decode("utf-8-sig", "replace"))
    return _end_of(content[:n].decode("utf-8-sig", "replace"), text)


def _near(place: Point) -> str:
    """The last key that stands before a place, for what belongs to no node; empty where there is none."""
    *above, line = place.text.lines[max(0, place.line - 30) : place.line + 1]
    before = "\n".join([*above, line[: place.column]])
    keys = _KEY.findall(before[-2_000:])
    return f" (near {keys[-1]!r})" if keys else ""


def parse_yaml(text: Text) -> Document:
    """Parses a text. Raises ConfigProblems with every broken rule."""
    builder = _Builder(text)
    try:
        document = builder.document()
    except yaml.YAMLError as error:
        builder.problems.append(_syntax_problem(error, text))
        document = Document(None)
    if builder.problems:
        raise ConfigProblems(builder.problems)
    return document


def too_deep(loc: Loc, place: Point | None = None) -> Problem:
    """The problem of a node that is nested deeper than a configuration may be."""
    return Problem(loc[:3], f"is nested deeper than {MAX_DEPTH} levels; flatten it", place)


class _Builder:
    """Builds values from events, and collects what breaks a rule on the way."""

    def __init__(self, text: Text) -> None:
        self.text = text
        self.events: Iterator[events.Event] = yaml.parse(text.content, Loader=LOADER)
        self.problems: list[Problem] = []
        self.made = Document(None)

    def document(self) -> Document:
        next(self.events)  # start of the stream
        start = next(self.events)
        if isinstance(start, events.StreamEndEvent):
            self._problem((), "needs some content; came an empty text", Point(self.text, 0, 0))
            return self.made
        if getattr(start, "version", None) not in (None, (1, 2)) or getattr(start, "tags", None):
            self._problem(
                (), "is read as plain YAML 1.2; remove the line that starts with %", self._at(start)
            )
        self.made.value = self._node(next(self.events), ())
        next(self.events)  # end of the document
        if not isinstance(after := next(self.events), events.StreamEndEvent):
            self._problem((), "holds one document; remove what follows `---`", self._at(after))
        return self.made

    def _node(self, event: Any, loc: Loc) -> Any:
        place = self.made.values[loc] = self._at(event)
        if isinstance(event, events.ScalarEvent | events.AliasEvent):
            return self._scalar(event, loc)
        self._check_plain(event, loc)
        if len(loc) >= MAX_DEPTH:
            raise ConfigProblems([*self.problems, too_deep(loc, place)])
        return self._list(loc) if isinstance(event, events.SequenceStartEvent) else self._map(loc)

    def _check_plain(self, event: Any, loc: Loc) -> None:
        if event.anchor is not None:
            self._problem(loc, f"anchors are not read; remove &{event.anchor}", self._at(event))
        if event.tag is not None:
            message = f"tags are not read; came {event.tag}; remove it, or quote the text"
            self._problem(loc, message, self._at(event))

    def _scalar(self, event: Any, loc: Loc) -> Any:
        if isinstance(event, events.AliasEvent):
            message = f"aliases are not read; came *{event.anchor}; repeat the value"
            self._problem(loc, message, self._at(event))
            return None
        self._check_plain(event, loc)
        if not event.implicit[0]:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self._problem(loc, f"{error}; came {event.value[:40]}; quote it if it is a text", self._at(event))
            return None

    def _list(self, loc: Loc) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(self.events), events.SequenceEndEvent):
            values.append(self._node(event, (*loc, len(values))))
        return values

    def _map(self, loc: Loc) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(self.events), events.MappingEndEvent):
            key = self._key(event, loc)
            if key in values:
                first = self.made.keys[(*loc, key)]
                message = f"appears twice, first in line {first.line + 1}; keep one"
                self._problem((*loc, key), message, self._at(event))
            else:
                self.made.keys[(*loc, key)] = self._at(event)
            values[key] = self._node(next(self.events), (*loc, key))
        return values

    def _key(self, event: Any, loc: Loc) -> str:
        shown, key = "a list, a map or an alias", None
        if isinstance(event, events.ScalarEvent):
            shown, key = event.value or "nothing", self._scalar(event, loc)
        else:
            self._skip(event)
        if not isinstance(key, str):
            self._problem(loc, f"a key is a word; came {shown}; quote it", self._at(event))
        return str(key)

    def _skip(self, event: Any) -> None:
        """Passes over a key that is a list, a map or an alias."""
        depth = 0
        while True:
            depth += isinstance(event, events.CollectionStartEvent)
            depth -= isinstance(event, events.CollectionEndEvent)
            if depth == 0:
                return
            event = next(self.events)

    def _at(self, event: Any) -> Point:
        return Point(self.text, event.start_mark.line, event.start_mark.column)

    def _problem(self, loc: Loc, message: str, place: Point) -> None:
        self.problems.append(Problem(loc, message, place))


def _syntax_problem(error: yaml.YAMLError, text: Text) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if mark and mark.line < len(text.lines):
        place = Point(text, mark.line, mark.column)
    else:  # the scanner may stop below the last line
        place = _end_of(text.content if mark else text.content[: max(0, getattr(error, "position", 0))], text)
    hint = next(
        (hint for start, hint in _HINTS.items() if start in said),
        "check brackets, commas, quotes and indents around it",
    )
    return Problem((), f"is not YAML: {said}{_opened(error)}; {hint}{_near(place)}", place)


def _opened(error: yaml.YAMLError) -> str:
    """Where the bracket or quote was opened that is still open."""
    context, mark = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    if mark is None or not context.startswith(("while parsing a flow", "while scanning a quoted")):
        return ""
    return f" {context} that starts at {mark.line + 1}:{mark.column + 1}"


def _end_of(before: str, text: Text) -> Point:
    """Where the part of the text that is `before` ends."""
    lines = Text("", before).lines
    return Point(text, len(lines) - 1, len(lines[-1]))
