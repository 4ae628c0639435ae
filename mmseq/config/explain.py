"""pydantic's errors → problems that say what to do, where the user wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from mmseq.config.errors import Problem
from mmseq.config.fields import field_at, model_at
from mmseq.config.places import Loc, Place
from mmseq.config.yaml import Document
from mmseq.registry import did_you_mean

_RULES = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "path_type": "must be a path",
    "list_type": "must be a list",
    "dict_type": "must be a map",
    "model_type": "must be a map",
    "model_attributes_type": "must be a map",
    "missing": "is required",
}
_ALREADY_TOLD = ("value_error", "unknown_kind", "contradiction", "missing", "extra_forbidden")


def explain(error: ValidationError, root: type[BaseModel], document: Document) -> list[Problem]:
    """One problem for each place, in the order of the text.

    Args:
        error: what checking `document.value` as `root` raised.
        root: class of the whole tree.
        document: the tree and where its parts stand.
    """
    found: dict[Loc, list[Any]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_way(detail["loc"], detail["type"], document.value), []).append(detail)
    for loc in [loc for loc, details in found.items() if details[0]["type"] == "extra_forbidden"]:
        if (meant := _meant(loc, root, document.value, found)) is not None:
            del found[meant]
    problems = [
        Problem(loc, _message(details, loc, root, document.value), _place(details[0]["type"], loc, document))
        for loc, details in found.items()
    ]
    return sorted(problems, key=_order)


def _way(loc: Loc, kind: str, tree: Any) -> Loc:
    """`loc` without what pydantic adds for the members of a union and for keys."""
    way: Loc = ()
    for part in loc:
        known = part in tree if isinstance(tree, dict) else isinstance(tree, list) and isinstance(part, int)
        if known:
            way, tree = (*way, part), tree[part]
    return (*way, loc[-1]) if kind == "missing" and loc[-1:] != way[-1:] else way


def _meant(loc: Loc, root: type[BaseModel], tree: Any, found: dict[Loc, list[Any]]) -> Loc | None:
    """The key that is missing because it is misspelt at `loc`, so as to say it once."""
    model = model_at(root, tree, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1])[:100], list(model.model_fields) if model else [], n=1)
    meant = (*loc[:-1], *near)
    return meant if near and meant in found and found[meant][0]["type"] == "missing" else None


def _message(details: list[Any], loc: Loc, root: type[BaseModel], tree: Any) -> str:
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        model = model_at(root, tree, loc[:-1])
        known = list(model.model_fields) if model else []
        return f"unknown key; known: {', '.join(known)}{did_you_mean(str(loc[-1]), known)}"
    rule = " or ".join(dict.fromkeys(_rule(d) for d in details)).replace(" or must be", " or")
    if detail["type"] not in _ALREADY_TOLD:
        rule = f"{rule} (came {_shown(detail['input'])})"
    elif detail["type"] != "missing":
        return rule
    if near := _nearest(details):
        return rule + near
    field = field_at(root, tree, loc)
    return f"{rule}; it means: {field.description}" if field and field.description else rule


def _rule(detail: Any) -> str:
    said = _RULES.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Dictionary|Value|Tuple|Set) should", "must", said)


def _nearest(details: Iterable[Any]) -> str:
    expected = [
        word for d in details for word in re.findall(r"'([^']*)'", d.get("ctx", {}).get("expected", ""))
    ]
    came = next(iter(details))["input"]
    return did_you_mean(came, expected) if isinstance(came, str) else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    words = {None: "null", True: "true", False: "false"}
    shown = words[value] if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _place(kind: str, loc: Loc, document: Document) -> Place | None:
    if kind == "missing":
        loc = loc[:-1]
    first, second = document.values, document.keys
    if kind in ("missing", "extra_forbidden"):
        first, second = second, first
    for length in range(len(loc), -1, -1):
        place = first.get(loc[:length]) or second.get(loc[:length])
        if place is not None:
            return place
    return None


def _order(problem: Problem) -> tuple[bool, int, int]:
    """The file's problems from top to bottom, then those of the command line."""
    place = problem.place
    return (True, 0, 0) if place is None else (place.text.inline, place.line, place.column)
