"""The short names of hierarchies of one kind: `r2n2` and `r3n3`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from mmseq.cores import cores
from mmseq.testing.build import LENGTHS, random_timeline

WIDTH = 5


@pytest.mark.parametrize(
    ("kind", "segments"), [("r2n2", [{"steps": 3}]), ("r3n3", [{"steps": 3}, {"gap": 1.0}])]
)
def test_it_is_a_hierarchy_of_one_kind(kind: str, segments: list[Any]) -> None:
    short = {"kind": kind, "cell": "gru", "hidden": 6, "dropout": 0.3, "segments": segments}
    cell = {"kind": "gru", "hidden": 6, "dropout": 0.3}
    levels = [{"core": cell}, *({"core": cell, "segment": segment} for segment in segments)]
    timeline = random_timeline(LENGTHS, torch.Generator().manual_seed(0), noise=3)
    inputs, found = torch.randn(timeline.n_steps, WIDTH), []
    for config in (short, {"kind": "hierarchical", "levels": levels}):
        torch.manual_seed(1)
        core = cores.build(cores.parse(config), WIDTH)
        assert core.hidden == 6
        found.append(core(inputs, timeline)[0])
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("fields", "loc", "message"),
    [
        ({"cell": "lsmt"}, "cell", "must be a kind of core; did you mean 'lstm'?; known: "),
        (
            {"cell": "bidirectional"},
            "cell",
            "'bidirectional' has no `hidden`; take a kind that has, or spell",
        ),
        ({"segments": [{"steps": 2}]}, "segments", "at least 2 items"),
        ({"segments": [{"steps": 2}] * 3}, "segments", "at most 2 items"),
    ],
)
def test_what_it_may_not_be(fields: dict[str, Any], loc: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        cores.parse({"kind": "r3n3", **fields})
    (error,) = caught.value.errors()
    assert error["loc"] == (loc,)
    assert message in error["msg"]


def test_markers_are_wanted() -> None:
    config = {"kind": "r3n3", "segments": [{"marker": "utterance"}, {"marker": "session"}]}
    assert cores.build(cores.parse(config), WIDTH).marks == ("utterance", "session")
