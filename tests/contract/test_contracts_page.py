"""`docs/contracts.md` has every line of every contract, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mmseq.registry import FAMILIES
from mmseq.testing import CONTRACTS, VERSION
from mmseq.testing.configs import CONTRACT as CONFIG

PAGE = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text()
LINES: dict[str, Any] = {"any family": CONFIG, **CONTRACTS}


def _section(name: str) -> str:
    (found,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def _rows(text: str) -> list[tuple[str, ...]]:
    """The rows of a table, without its head."""
    rows = [tuple(re.split(r" \| ", line.strip("| "))) for line in text.splitlines() if line.startswith("| ")]
    return rows[1:]


def test_every_family_has_its_section_in_order() -> None:
    named = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
    assert named == ["What goes wrong, and which line tells", "any family", *FAMILIES]


@pytest.mark.parametrize("name", LINES)
def test_the_lines_are_those_of_the_contract(name: str) -> None:
    assert _rows(_section(name)) == [(check.name, check.rule) for check in LINES[name]]


def test_what_tells_a_fault_is_a_line() -> None:
    """A line that is named for some families is in each of their contracts."""
    for fault, told in _rows(_section("What goes wrong, and which line tells")):
        for part in told.split(";"):
            named = re.findall(r"`([a-z ]+)`", part)
            families = [family for family in FAMILIES if re.search(rf"\b{family}\b", part.split("`")[0])]
            for line in named:
                having = [name for name, checks in LINES.items() if line in {check.name for check in checks}]
                assert having, f"{fault}: no contract has a line {line!r}"
                assert set(families) <= set(having), f"{fault}: {line!r} is a line of {having}"


def test_the_code_that_is_shown_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(code, {})
    assert f"version {VERSION}." in PAGE.partition("\n\n")[2].partition("\n\n")[0]
