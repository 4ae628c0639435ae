"""A configuration → YAML that loads to the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from mmseq.config import scalars

if TYPE_CHECKING:
    from mmseq.config.experiment import Experiment


class _Dumper(yaml.SafeDumper):
    """Writes plainly only what the YAML 1.2 core schema reads as the same value."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 – not those of YAML 1.1

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Rare ends of line are escaped: the scanner would fold them into spaces."""
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _text)
for _tag, _pattern in (
    ("null", scalars.NULL),
    ("bool", scalars.BOOL),
    ("int", scalars.INT),
    ("float", scalars.FLOAT),
):
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern.pattern})\Z"), None)


def dump_config(experiment: Experiment) -> str:
    """The whole tree, defaults included, as YAML."""
    return dump_yaml(experiment.model_dump(mode="json"))


def dump_yaml(tree: Any) -> str:
    """Maps, lists and scalars as YAML of the 1.2 core schema, the innermost maps and lists in one line."""
    return yaml.dump(
        tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
