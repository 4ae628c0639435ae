"""The contract of configs catches one that does not come back from JSON, in every family."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from mmseq.registry import FAMILIES, family
from mmseq.testing.configs import config_case


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("value", [(1, 2), frozenset({1}), b"\xff"], ids=["tuple", "set", "bytes"])
def test_planted_fault_is_caught(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = family(name)

    class FaultyConfig(registry.base):  # type: ignore[misc,name-defined]
        kind: Literal["faulty"]
        sizes: type(value) = value  # type: ignore[valid-type]

    monkeypatch.setitem(registry._classes, "faulty", (FaultyConfig, object))
    needed = {"table": "t"} if "table" in FaultyConfig.model_fields else {}
    config = FaultyConfig(kind="faulty", **needed)
    with pytest.raises(AssertionError, match="config: a config goes through JSON unchanged"):
        config_case(registry, config).require()
