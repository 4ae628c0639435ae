"""The contract of configs catches one that does not come back from JSON, in every family."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, Field

from mmseq.registry import FAMILIES, family
from mmseq.testing.configs import config_case

RULE = "config: a config goes through JSON unchanged"


def require_fault(name: str, field: Any, value: Any, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds the config of a made-up kind of a family to its contract, and wants to see it broken."""
    registry = family(name)

    class FaultyConfig(registry.base):  # type: ignore[misc,name-defined]
        kind: Literal["faulty"]
        sizes: field = value  # type: ignore[valid-type]

    monkeypatch.setitem(registry._classes, "faulty", (FaultyConfig, object))
    needed = {"table": "t"} if "table" in FaultyConfig.model_fields else {}
    config = FaultyConfig(kind="faulty", **needed)
    with pytest.raises(AssertionError, match=rule):
        config_case(registry, config).require()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("value", [(1, 2), frozenset({1}), b"\xff"], ids=["tuple", "set", "bytes"])
def test_planted_fault_is_caught(name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    require_fault(name, type(value), value, RULE, monkeypatch)


@pytest.mark.parametrize("name", FAMILIES)
def test_another_value_that_comes_back_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = Annotated[int, AfterValidator(lambda value: value + 1)]
    require_fault(name, field, 0, f"{RULE}; .*sizes=1 came back for .*sizes=0", monkeypatch)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_field_that_is_left_out_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default would come back for whatever was configured. Caught: comparing a default config alone."""
    field = Annotated[int, Field(exclude=True)]
    require_fault(name, field, 0, f"{RULE}; sizes is not in it; exclude no field", monkeypatch)
