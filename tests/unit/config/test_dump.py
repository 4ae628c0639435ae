"""What is written loads to the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmseq.config.dump import dump_config, dump_yaml
from mmseq.config.experiment import Experiment
from mmseq.config.load import load_config
from mmseq.config.places import Text
from mmseq.config.yaml import parse_yaml


def test_an_experiment_comes_back_from_yaml_and_from_json(write: Callable[..., Path], tmp_path: Path) -> None:
    experiment = load_config(write(), ["readout=[{kind: last}, {kind: mean}]", "training.clip=null"])
    resolved = tmp_path / "elsewhere" / "config.resolved.yaml"
    resolved.parent.mkdir()
    resolved.write_text(dump_config(experiment))
    assert load_config(resolved) == experiment
    assert Experiment.model_validate(experiment.model_dump(mode="json")) == experiment
    assert dump_config(load_config(resolved)) == resolved.read_text()


def test_defaults_are_written_down(write: Callable[..., Path]) -> None:
    text = dump_config(load_config(write()))
    tree = parse_yaml(Text("", text)).value
    assert tree["modalities"]["flights"]["encoder"]["kind"] == "linear"
    assert tree["training"]["batch"] == {
        "samples": 32,
        "steps": None,
        "bucket": 8,
        "labelled": None,
        "balance": None,
    }


def test_overrides_that_contradict_defaults_still_come_back(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    experiment = load_config(write(), ["data.split={column: split}", "data.samples=samples.csv"])
    path = tmp_path / "again.yaml"
    path.write_text(dump_config(experiment))
    assert load_config(path) == experiment


WORDS = ["on", "yes", "null", "~", "", "1e-3", "1.", "0o14", "0x1f", "12:30", "true", "True", "tRue", ".inf"]
WORDS += [
    "1_000",
    "- a",
    "a: b",
    "#x",
    "*a",
    "&a",
    "!x",
    "%x",
    "@x",
    "é\x85ü",
    "a\nb",
    " a ",
    "'",
    '"',
    "1\n",
    "<<",
]


@pytest.mark.parametrize("word", WORDS)
def test_texts_stay_texts(word: str) -> None:
    assert parse_yaml(Text("", dump_yaml({"a": word, "b": [word], "c": {word: 1}}))).value == {
        "a": word,
        "b": [word],
        "c": {word: 1},
    }


def test_random_trees_come_back() -> None:
    generator = random.Random(0)

    def tree(depth: int) -> Any:
        choice = generator.randrange(8 if depth else 6)
        if choice == 6:
            return [tree(depth - 1) for _ in range(generator.randrange(4))]
        if choice == 7:
            return {generator.choice(WORDS): tree(depth - 1) for _ in range(generator.randrange(4))}
        word = "".join(chr(generator.choice([*range(32, 127), 0xE9, 0x4E2D])) for _ in range(12))
        number = generator.uniform(-1, 1) * 10.0 ** generator.randrange(-300, 300)
        return [word, number, generator.randrange(-(2**63), 2**63), True, None, generator.choice(WORDS)][
            choice
        ]

    for _ in range(300):
        made = {"a": tree(4)}
        assert parse_yaml(Text("", dump_yaml(made))).value == made
