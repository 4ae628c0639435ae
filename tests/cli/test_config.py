"""`mmseq config show` and `mmseq config schema`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmseq.config.load import load_config
from mmseq.registry import FAMILIES, family

Run = Callable[..., Any]


def test_show_prints_yaml_that_loads_to_the_same(mmseq: Run, run_yaml: Path, tmp_path: Path) -> None:
    outcome = mmseq("config", "show", run_yaml, "--set", "core.hidden=16")
    assert (outcome.code, outcome.err) == (0, "")
    (tmp_path / "again.yaml").write_text(outcome.out)
    again = load_config(tmp_path / "again.yaml")
    assert again == load_config(run_yaml, ["core.hidden=16"])
    assert again.core.model_dump()["hidden"] == 16


def test_show_reports_what_is_wrong(mmseq: Run, run_yaml: Path) -> None:
    run_yaml.write_text(run_yaml.read_text().replace("hidden: 8", "hiden: 8"))
    outcome = mmseq("config", "show", run_yaml)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[0].startswith(f"{run_yaml}:6:20: core.hiden: unknown key")
    assert outcome.err.splitlines()[1:] == ["    core: {kind: lstm, hiden: 8}", "                       ^"]


def test_schema_closes_every_family_to_its_kinds(mmseq: Run) -> None:
    outcome = mmseq("config", "schema")
    assert (outcome.code, outcome.err) == (0, "")
    schema = json.loads(outcome.out)
    assert schema["additionalProperties"] is False
    assert {"name", "data", "modalities", "core", "tasks"} == set(schema["required"])
    for registry in map(family, FAMILIES):
        choices = schema["$defs"][registry.base.__name__]["oneOf"]
        configs = [schema["$defs"][choice["$ref"].rpartition("/")[2]] for choice in choices]
        assert [config["properties"]["kind"]["const"] for config in configs] == registry.kinds()


def test_every_field_is_described(mmseq: Run) -> None:
    schema = json.loads(mmseq("config", "schema").out)
    nameless = [
        f"{title}.{name}"
        for title, part in {"Experiment": schema, **schema["$defs"]}.items()
        for name, field in part.get("properties", {}).items()
        if "description" not in field and name != "kind"
    ]
    assert nameless == []
