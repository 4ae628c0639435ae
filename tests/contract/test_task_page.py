"""`docs/tasks.md` has a section for every built-in kind, that names its options and metrics."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from mmseq.heads import TargetConfig, heads
from mmseq.heads.config import Horizon
from mmseq.testing.head_examples import example_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tasks.md").read_text()
KINDS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["mmseq.heads"])
TASKS = yaml.safe_load(PAGE.partition("```yaml\n")[2].partition("```")[0])["tasks"]


def _section(kind: str) -> str:
    (found,) = re.findall(rf"^## {kind}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_in_the_section_of_its_kind(kind: str) -> None:
    common = {*TargetConfig.model_fields, "kind", "column", "columns"}
    text = _section(kind)
    missing = [name for name in heads.config_class(kind).model_fields if name not in common]
    assert [name for name in missing if not re.search(rf"`{name}(: [\w.]+)?`", text)] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_is_named(kind: str) -> None:
    (row,) = re.findall(rf"^\| .* \| `{kind}` \|.*$", PAGE, re.MULTILINE)
    known = heads.component_class(kind).metric_names(example_config(kind)) or ()
    names = {name.partition(".")[0] for name in known}
    assert [name for name in names if f"`{name}`" not in row + _section(kind)] == []


@pytest.mark.parametrize("task", TASKS)
def test_the_example_is_a_task(task: str) -> None:
    assert heads.parse(TASKS[task]).kind == TASKS[task]["kind"]


def test_the_example_has_every_kind() -> None:
    assert sorted(task["kind"] for task in TASKS.values()) == KINDS


def test_what_all_have_in_common_is_named() -> None:
    common = PAGE.partition("## What all have in common")[2].partition("\n## ")[0]
    fields = {*TargetConfig.model_fields, *Horizon.model_fields} - {"kind"}
    assert [name for name in sorted(fields) if not re.search(rf"\b{name}\b", common)] == []
    (example,) = re.findall(r"```yaml\n(.*?)```", common, re.DOTALL)
    assert [heads.parse(task).looks_ahead for task in yaml.safe_load(example)["tasks"].values()] == [True]
