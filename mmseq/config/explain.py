"""pydantic's errors → problems that say what to do, where the user wrote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from mmseq.config.errors import Problem
from mmseq.config.fields import field_at, model_at
from mmseq.config.places import Loc, Point
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
_MOST = 1_000
_ALREADY_TOLD = ("value_error", "unknown_kind", "contradiction")


def explain(error: ValidationError, root: type[BaseModel], document: Document) -> list[Problem]:
    """One problem for each place, in the order of the text; of very many, a thousand.

    Args:
        error: what checking `document.value` as `root` raised.
        root: class of the whole tree.
        document: the tree and where its parts stand.
    """
    found: dict[tuple[Loc, bool], list[Any]] = {}
    for detail in error.errors(include_url=False)[:_MOST]:
        loc = _way(detail["loc"], detail["type"], document.value)
        found.setdefault((loc, _is_about_key(detail)), []).append(detail)
    for loc in [loc for (loc, _), details in found.items() if details[0]["type"] == "extra_forbidden"]:
        for meant in _nearest_fields(loc, root, document.value):
            if found.get((meant, True), [{}])[0].get("type") == "missing":
                del found[meant, True]  # said once: it is missing because it is misspelt
    problems = [
        Problem(
            loc, _message(details, loc, root, document.value), place_of(loc, document, about_key=about_key)
        )
        for (loc, about_key), details in found.items()
    ]
    return sorted(problems, key=_order)


def _way(loc: Loc, kind: str, tree: Any) -> Loc:
    """`loc` without what pydantic adds for the members of a union and for keys."""
    if kind == "missing":
        return (*_way(loc[:-1], "", tree), loc[-1])
    way: Loc = ()
    for part in loc:
        known: Any = (
            tree if isinstance(tree, dict) else dict(enumerate(tree)) if isinstance(tree, list) else {}
        )
        if part in known:
            way, tree = (*way, part), known[part]
    return way


def _is_about_key(detail: Any) -> bool:
    return detail["type"] in ("missing", "extra_forbidden") or detail["loc"][-1:] == ("[key]",)


def _nearest_fields(loc: Loc, root: type[BaseModel], tree: Any) -> list[Loc]:
    model = model_at(root, tree, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1])[:100], list(model.model_fields) if model else [], n=1)
    return [(*loc[:-1], name) for name in near]


def _message(details: list[Any], loc: Loc, root: type[BaseModel], tree: Any) -> str:
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        model = model_at(root, tree, loc[:-1])
        known = list(model.model_fields) if model else []
        return f"unknown key; known: {', '.join(known)}{did_you_mean(str(loc[-1]), known)}"
    rule = " or ".join(dict.fromkeys(_rule(d) for d in details)).replace(" or must be", " or")
    if detail["type"] in _ALREADY_TOLD:
        return rule
    if detail["type"] != "missing":
        rule = f"{rule} (came {_shown(detail['input'])})"
    if near := _nearest_word(details):
        return rule + near
    field = field_at(root, tree, loc)
    return f"{rule}; it means: {field.description}" if field and field.description else rule


def _rule(detail: Any) -> str:
    said = _RULES.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|List|Dictionary|Value|Tuple|Set) should", "must", said)


def _nearest_word(details: Iterable[Any]) -> str:
    expected = [
        word for d in details for word in re.findall(r"'([^']*)'", d.get("ctx", {}).get("expected", ""))
    ]
    came = next(iter(details))["input"]
    return did_you_mean(came, expected) if isinstance(came, str) else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    words = {None: "null", True: "true", False: "false"}
    shown = words[value] if value is None or isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def place_of(loc: Loc, document: Document, *, about_key: bool = False) -> Point | None:
    """Where a value, or its key, stands, or else the innermost part around it."""
    places = (document.keys, document.values) if about_key else (document.values, document.keys)
    for length in range(len(loc), -1, -1):
        for found in places:
            if loc[:length] in found:
                return found[loc[:length]]
    return None


def _order(problem: Problem) -> tuple[bool, int, int]:
    """The file's problems from top to bottom, then those of the command line."""
    place = problem.place
    return (True, 0, 0) if place is None else (place.text.inline, place.line, place.column)
