"""The single-file plugins keep the contracts of their families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmseq.encoders import encoders
from mmseq.plugin import load_plugin
from mmseq.registry import FAMILIES, family
from mmseq.testing.encoders import check_encoder
from mmseq.testing.events import example_events
from mmseq.testing.head_examples import example_config
from mmseq.testing.heads import check_head

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*.py"))
WIDTH = 5


def check_built_encoder(kind: str) -> None:
    torch.manual_seed(0)
    spec, events = example_events(encoders.component_class(kind).reads)
    check_encoder(encoders.build(encoders.parse({"kind": kind}), spec, WIDTH), events, WIDTH)


def check_made_up_head(kind: str) -> None:
    check_head(example_config(kind))


CHECKS: dict[str, Callable[[str], None]] = {"encoders": check_built_encoder, "heads": check_made_up_head}


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
        CHECKS[name](kind)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.stem)
def test_it_says_what_it_is(path: Path) -> None:
    for _, _, cls in offered(path):
        assert cls.__doc__
