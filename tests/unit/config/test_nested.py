"""Cores inside cores: read, checked with their place, and written down again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmseq.config.errors import ConfigProblems
from mmseq.config.load import dump_config, load_config
from mmseq.config.schema import config_schema
from mmseq.cores import cores

CORE = "core: {kind: lstm, hidden: 128}"
DEEP = """core:
  kind: hierarchical
  levels:
    - core: {kind: stack, layers: 3, core: {kind: gru, hidden: 16}}
    - core: {kind: r2n2, segments: [{marker: carrier}]}
      segment: {gap: 30}
    - segment: {steps: 4}"""


def test_they_come_back_from_what_is_written_of_them(write: Callable[..., Path], tmp_path: Path) -> None:
    experiment = load_config(write((CORE, DEEP)), ["core.levels.0.core.core.hidden=8"])
    config: Any = experiment.core
    assert config.levels[0].core.core == cores.parse({"kind": "gru", "hidden": 8})
    assert config.levels[1].core.segments[0].marker == "carrier"
    assert config.levels[2].core == cores.parse({"kind": "gru"})  # the default, written down
    path = tmp_path / "configs" / "again.yaml"
    path.write_text(dump_config(experiment))
    assert load_config(path) == experiment
    assert cores.parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "hidden: 16",
            "hiden: 16",
            "hiden",
            "core.levels.0.core.core.hiden: unknown key; known: kind, hidden, layers, dropout, chrono; "
            "did you mean 'hidden'?",
        ),
        (
            "hidden: 16",
            "hidden: -1",
            "-1",
            "core.levels.0.core.core.hidden: must be greater than 0 (came -1)",
        ),
        ("kind: gru", "kind: gur", "gur", "core.levels.0.core.core.kind: unknown kind 'gur'; known: "),
        (
            "gap: 30",
            "gaps: 30",
            "gaps",
            "core.levels.1.segment.gaps: unknown key; known: steps, gap, marker; ",
        ),
        (
            "gap: 30",
            "gap: 30, steps: 2",
            "{gap",
            "core.levels.1.segment: a segment is cut by exactly one of steps, gap and marker; came steps, ",
        ),
        (
            "marker: carrier",
            "marker: carier",
            "carier",
            "core.levels.1.core.segments.0.marker: must name a category modality with a clock; came "
            "'carier'; did you mean 'carrier'?; there are: carrier",
        ),
        (
            "marker: carrier",
            "marker: flights",
            "flights}]",
            "core.levels.1.core.segments.0.marker: must name a",
        ),
        (
            "marker: carrier",
            "marker: calendar",
            "calendar}]",
            "core.levels.1.core.segments.0.marker: must name",
        ),
    ],
)
def test_what_is_wrong_inside_is_told_with_its_place(
    write: Callable[..., Path], old: str, new: str, at: str, message: str
) -> None:
    path = write((CORE, DEEP.replace(old, new)))
    with pytest.raises(ConfigProblems) as caught:
        load_config(path)
    (problem,) = caught.value.problems
    lines = path.read_text().splitlines()
    line = next(i for i, text in enumerate(lines) if at in text and i > lines.index("core:"))
    assert str(problem).startswith(f"{path}:{line + 1}:{lines[line].index(at) + 1}: {message}")


def test_the_schema_of_a_core_holds_that_of_any_core() -> None:
    definitions = config_schema()["$defs"]
    core = {"$ref": "#/$defs/CoreConfig"}
    for name in ("StackConfig", "BidirectionalConfig", "Level"):
        field = definitions[name]["properties"]["core"]
        assert core in (field, *field.get("allOf", []), {"$ref": field.get("$ref")})
    kinds = {choice["$ref"].rpartition("/")[2] for choice in definitions["CoreConfig"]["oneOf"]}
    assert {"StackConfig", "HierarchicalConfig", "GruConfig"} <= kinds


BOTH_WAYS = "core: {kind: stack, core: {kind: bidirectional, core: {kind: gru}}}"


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ("training: {window: 100}", "training.window: needs a causal core; 'stack' looks at later steps"),
        ("training: {recompute: 10}", "training.recompute: needs a causal core"),
        ("training: {supervise: every_step}", "training.supervise: needs a causal core"),
        ("training: {epochs: 2}", "tasks.next: predicts what comes next, and the core 'stack' has seen it"),
    ],
)
def test_a_core_that_looks_ahead_cannot_go_on(training: str, message: str) -> None:
    tree = load_tree(f"{BOTH_WAYS}\n{training}")
    with pytest.raises(ConfigProblems, match=message):
        load_config(tree)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("training: {window: 10, recompute: 10}", "training.recompute: does nothing: a window has 10 steps"),
        (
            "training: {supervise: every_step}",
            "training.supervise: does nothing: every task predicts",
        ),
        ("readout: {kind: mean}", "readout: does nothing: every task predicts at steps, from the core"),
    ],
)
def test_options_that_would_do_nothing_are_refused(option: str, message: str) -> None:
    tree = load_tree(f"core: {{kind: gru}}\n{option}")
    tree["tasks"] = {"next": tree["tasks"]["next"]}
    with pytest.raises(ConfigProblems, match=message):
        load_config(tree)


def load_tree(text: str) -> dict[str, Any]:
    """A small run with these sections."""
    tree: dict[str, Any] = {
        "name": "small",
        "data": {"source": {"kind": "memory"}},
        "modalities": {"x": {"kind": "numeric", "table": "x", "time": "t", "columns": ["a"]}},
        "tasks": {
            "next": {"kind": "next_step", "modality": "x"},
            "level": {"kind": "regression", "table": "y", "column": "b"},
        },
    }
    return tree | yaml.safe_load(text)
