"""`--set a.b=value`: one value of the tree, given on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.places import Loc, Point, Text, dotted
from mmseq.config.yaml import MAX_DEPTH, Document, parse_yaml, too_deep


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Sets each `a.b=value` in the document, in order. Raises ConfigProblems with all that fail."""
    problems: list[Problem] = []
    for override in overrides:
        try:
            _apply(document, override)
        except ConfigProblems as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigProblems(problems)


def _apply(document: Document, override: str) -> None:
    text = Text(f"--set {override}", override, inline=True)
    path, equals, word = override.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        raise _error(text, (), "is written a.b=value, as in training.epochs=3")
    if not word.strip():
        raise _error(text, (), "needs a value; write null for none, and '' for an empty text")
    if len(parts) > MAX_DEPTH:
        raise ConfigProblems([too_deep(tuple(parts), Point(text, 0, 0))])
    value = parse_yaml(Text(text.name, word, inline=True))
    loc = _set(document.value, parts, value.value, text)
    _forget(document, loc)
    place = Point(text, 0, 0)
    for length in range(1, len(loc) + 1):
        document.keys.setdefault(loc[:length], place)
        document.values.setdefault(loc[:length], place)
    document.keys.update({(*loc, *inner): place for inner in value.keys})
    document.values.update({(*loc, *inner): place for inner in value.values})


def _set(tree: Any, parts: list[str], value: Any, text: Text) -> Loc:
    loc: Loc = ()
    for part in parts[:-1]:
        key = _key(tree, part, loc, text)
        loc = (*loc, key)
        if isinstance(tree, dict) and tree.get(key) is None:
            tree[key] = {}
        tree = tree[key]
    key = _key(tree, parts[-1], loc, text)
    tree[key] = value
    return (*loc, key)


def _key(tree: Any, part: str, loc: Loc, text: Text) -> str | int:
    if isinstance(tree, dict):
        return part
    where = dotted(loc) or "the whole"
    if not isinstance(tree, list):
        raise _error(text, (), f"{where} holds {tree!r}, which has no {part!r}; set {where} itself")
    if part not in map(str, range(len(tree))):
        raise _error(
            text, (), f"{where} is a list of {len(tree)}; came {part!r}; give an index, or set the whole list"
        )
    return int(part)


def _forget(document: Document, loc: Loc) -> None:
    """Drops the places of what was there before."""
    for places in (document.keys, document.values):
        for old in [old for old in places if old[: len(loc)] == loc]:
            del places[old]


def _error(text: Text, loc: Loc, message: str) -> ConfigProblems:
    return ConfigProblems([Problem(loc, message, Point(text, 0, 0))])
