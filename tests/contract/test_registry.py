"""Registries, entry points and files tell the same, and every config comes back from JSON."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import mmseq
from mmseq.registry import FAMILIES, family

PACKAGE = Path(mmseq.__file__).parent
POINTS: dict[str, dict[str, str]] = {
    group.removeprefix("mmseq."): points
    for group, points in tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"][
        "entry-points"
    ].items()
}
KINDS = [(name, kind) for name in FAMILIES for kind in sorted(POINTS[name])]


def test_a_group_of_entry_points_for_every_family() -> None:
    assert set(POINTS) == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_installed_kinds_are_those_of_pyproject(name: str) -> None:
    """Fails, too, where pyproject changed and the package was not installed again."""
    installed = family(name)._entry_points
    assert {
        kind: point.value for kind, point in installed.items() if point.value.startswith("mmseq.")
    } == POINTS[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_file_that_registers_is_an_entry_point(name: str) -> None:
    registers = re.compile(rf"^@{name}\.register\(", re.MULTILINE)
    files = {path.stem for path in (PACKAGE / name).glob("*.py") if registers.search(path.read_text())}
    assert files == set(POINTS[name])


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_kind_lives_in_the_file_of_its_name_under_names_made_of_it(name: str, kind: str) -> None:
    registry = family(name)
    config_class, cls = registry.config_class(kind), registry.component_class(kind)
    assert POINTS[name][kind] == cls.__module__ == config_class.__module__ == f"mmseq.{name}.{kind}"
    stem = "".join(word.capitalize() for word in kind.split("_"))
    assert config_class.__name__ == f"{stem}Config"
    assert cls.__name__.startswith(stem)
    assert cls.__doc__


def example(model: type[BaseModel]) -> dict[str, Any]:
    """Values for the required fields, from what their JSON schema asks for."""
    schema = model.model_json_schema()
    made = {}
    for field in schema.get("required", []):
        part = schema["properties"][field]
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
        kind = part.get("type", "")
        n_items = part.get("minItems", 1)
        value = (
            [_VALUES.get(part["items"].get("type", ""))] * n_items if kind == "array" else _VALUES.get(kind)
        )
        made[field] = part.get("const", value)
    return made


_VALUES: dict[str, Any] = {"string": "word", "integer": 3, "number": 0.5, "boolean": True}

ONE_OF_MANY = [
    {},
    {"columns": ["word"]},
    {"column": "word"},
    {"code": "word", "value": "number"},
    {"event": "another"},
    {"table": "word", "column": "word"},
    {"table": "word", "columns": ["word"]},
]


def tree(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """The smallest map that the class takes: what is required, and a column where one must be named."""
    for more in ONE_OF_MANY:
        try:
            model.model_validate({**example(model), **given, **more})
        except ValueError:
            continue
        return {**example(model), **given, **more}
    raise AssertionError(f"no example for {model.__name__}")


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_config_to_json_to_config(name: str, kind: str) -> None:
    registry = family(name)
    given = getattr(registry.component_class(kind), "example_options", {})
    config = registry.parse(tree(registry.config_class(kind), given))
    dumped = config.model_dump(mode="json")
    assert registry.parse(dumped) == config
    assert type(config).model_validate_json(config.model_dump_json()) == config
