"""The single-file plugins keep the contracts of their families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmseq.plugin import load_plugin
from mmseq.registry import FAMILIES, family
from mmseq.testing import check_kind

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*.py"))


def offered(path: Path) -> list[tuple[str, str, Any]]:
    """Family, kind and class of what a plugin registers."""
    load_plugin(path)
    return [
        (name, kind, cls)
        for name in FAMILIES
        for kind, (_, cls) in family(name)._classes.items()
        if cls.__module__ == f"mmseq_plugin_{path.stem}"
    ]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_contract(path: Path) -> None:
    components = offered(path)
    assert [kind for _, kind, _ in components] == [path.stem]
    for name, kind, _ in components:
        check_kind(name, kind)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path) -> None:
    for _, _, cls in offered(path):
        assert cls.__doc__
