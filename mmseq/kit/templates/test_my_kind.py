"""The contract of my_family, and what a user of the package meets first."""

import importlib
import tomllib
from pathlib import Path

from mmseq.config.load import load_config
from mmseq.testing import check_kind

PROJECT = Path(__file__).parents[1]
importlib.import_module("mmseq_my_kind.my_kind")  # registers the kind where the package is not installed


def test_contract() -> None:
    check_kind("my_family", "my_kind")


def test_the_entry_point_leads_to_it() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"mmseq.my_family": {"my_kind": "mmseq_my_kind.my_kind"}}


def test_the_example_loads() -> None:
    assert load_config(PROJECT / "example.yaml").name == "my_kind"
