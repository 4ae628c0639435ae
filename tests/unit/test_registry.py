"""The registry: what it accepts, builds and refuses."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from mmseq.errors import PluginError
from mmseq.registry import ComponentConfig, Registry, did_you_mean


class BoxConfig(ComponentConfig):
    """A base that adds a field of the framework's own."""

    weight: float = 1.0


class RoundConfig(BoxConfig):
    kind: Literal["round"]
    radius: float = 2.0


class Round:
    def __init__(self, spec: str, width: int, *, radius: float) -> None:
        self.facts = (spec, width, radius)


@pytest.fixture
def boxes() -> Registry[Any]:
    registry: Registry[Any] = Registry("boxes", BoxConfig)
    registry.register(RoundConfig)(Round)
    return registry


def offer(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, "mmseq.boxes") for name, value in points]
    monkeypatch.setattr("mmseq.registry.entry_points", lambda group: found if group == "mmseq.boxes" else [])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes an importable module."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, content: str) -> None:
        (tmp_path / f"{name}.py").write_text(content)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return write


def test_builds_from_a_config_and_facts(boxes: Registry[Any]) -> None:
    config = boxes.parse({"kind": "round", "radius": 3, "weight": 2.0})
    assert config == RoundConfig(kind="round", radius=3.0, weight=2.0)
    assert boxes.build(config, "fact", width=7).facts == ("fact", 7, 3.0)
    assert boxes.parse(config) is config
    assert (boxes.config_class("round"), boxes.component_class("round")) == (RoundConfig, Round)


def test_unknown_kinds_name_the_nearest(boxes: Registry[Any]) -> None:
    with pytest.raises(PluginError) as caught:
        boxes.component_class("ronud")
    assert str(caught.value) == "boxes: unknown kind 'ronud'; known: round; did you mean 'round'?"
    with pytest.raises(PluginError, match="install the package that offers it, or name its file under `plug"):
        boxes.component_class("square")
    assert did_you_mean("x" * 10_000, ["round"]) == ""


@pytest.mark.parametrize(
    ("value", "loc", "message"),
    [
        ({"kind": "ronud"}, ("kind",), "unknown kind 'ronud'; known: round; did you mean 'round'?"),
        ({}, ("kind",), "needs `kind`, one of round"),
        ({"kind": 3}, ("kind",), "needs `kind`, one of round"),
        ({"kind": "round", "size": 1}, ("size",), "Extra inputs are not permitted"),
        ({"kind": "round", "radius": "1"}, ("radius",), "Input should be a valid number"),
        ({"kind": "round", "radius": float("nan")}, ("radius",), "Input should be a finite number"),
        ({"kind": "round", "weight": True}, ("weight",), "Input should be a valid number"),
    ],
)
def test_what_breaks_a_config_comes_with_the_way_to_it(
    boxes: Registry[Any], value: Any, loc: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        boxes.parse(value)
    assert [(error["loc"], error["msg"]) for error in caught.value.errors()] == [(loc, message)]


def test_what_is_no_map_is_refused(boxes: Registry[Any]) -> None:
    with pytest.raises(ValueError, match="needs a map with `kind`, one of round"):
        boxes.parse("round")


def test_one_kind_has_one_class(boxes: Registry[Any]) -> None:
    class Other:
        def __init__(self, *, radius: float) -> None: ...

    with pytest.raises(PluginError) as caught:
        boxes.register(RoundConfig)(Other)
    assert str(caught.value) == (
        f"boxes: kind 'round' is registered by both {__name__}.Round and "
        f"{__name__}.test_one_kind_has_one_class.<locals>.Other; rename one of them"
    )
    boxes.register(RoundConfig)(Round)  # the same file, imported again
    assert boxes.component_class("round") is Round


def test_a_plugin_cannot_take_the_place_of_an_installed_kind(
    boxes: Registry[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, ("round", "elsewhere.boxes.round"))
    fresh: Registry[Any] = Registry("boxes", BoxConfig)
    with pytest.raises(
        PluginError, match=r"'round' is registered by both the installed elsewhere\.boxes\.round"
    ):
        fresh.register(RoundConfig)(Round)


def test_two_packages_with_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, ("flat", "here.flat"), ("flat", "there.flat"))
    with pytest.raises(PluginError) as caught:
        Registry("boxes", BoxConfig).kinds()
    assert str(caught.value) == (
        "entry points mmseq.boxes: kind 'flat' is offered by both here.flat and there.flat; "
        "uninstall one of the packages"
    )


def test_entry_points_are_listed_without_import_and_loaded_on_demand(
    monkeypatch: pytest.MonkeyPatch, module: Callable[[str, str], None]
) -> None:
    offer(monkeypatch, ("broken", "broken_box"), ("leaves", "leaves_box"), ("empty", "empty_box"))
    module("broken_box", "1 / 0")
    module("leaves_box", "import sys\nsys.exit(0)")
    module("empty_box", "")
    boxes: Registry[Any] = Registry("boxes", BoxConfig)
    assert boxes.kinds() == ["broken", "empty", "leaves"]
    assert "broken_box" not in sys.modules
    with pytest.raises(PluginError) as caught:
        boxes.parse({"kind": "broken"})
    assert caught.value.exit_code == 3
    assert str(caught.value) == (
        "boxes 'broken': importing broken_box failed with ZeroDivisionError: division by zero; "
        "reinstall the package that offers it"
    )
    with pytest.raises(PluginError, match="importing leaves_box failed with SystemExit"):
        boxes.parse({"kind": "leaves"})
    with pytest.raises(
        PluginError, match="importing empty_box registered nothing under that kind; its class ne"
    ):
        boxes.parse({"kind": "empty"})


def test_a_fact_cannot_be_an_option_too(boxes: Registry[Any]) -> None:
    class WideConfig(BoxConfig):
        kind: Literal["wide"]
        width: int = 1

    class Wide:
        def __init__(self, width: int) -> None: ...

    with pytest.raises(PluginError) as caught:
        boxes.register(WideConfig)(Wide)
    assert str(caught.value) == (
        "boxes 'wide': width is both a config field and a run-time fact of Wide; "
        "put options after `*` in its constructor"
    )


def test_fields_and_options_are_the_same(boxes: Registry[Any]) -> None:
    class TallConfig(BoxConfig):
        kind: Literal["tall"]
        height: int = 1

    class Tall:
        def __init__(self, width: int, *, heigth: int) -> None: ...

    with pytest.raises(PluginError) as caught:
        boxes.register(TallConfig)(Tall)
    assert str(caught.value) == (
        "boxes 'tall': the fields of TallConfig must be the keyword options of Tall; "
        "came (height) and (heigth); make them the same"
    )


def test_what_is_fitted_takes_of_the_fields_what_it_needs(boxes: Registry[Any]) -> None:
    """Its `fit` is given all of them; but an option that is no field is one that nobody could set."""

    class TallConfig(BoxConfig):
        kind: Literal["tall"]
        height: int = 1
        unit: str = "m"

    class Fitted:
        @classmethod
        def fit(cls, config: Any, facts: Any) -> Any: ...

    class Tall(Fitted):
        def __init__(self, width: int, *, height: int) -> None:
            self.size = width, height

    class Misspelt(Fitted):
        def __init__(self, width: int, *, heigth: int) -> None: ...

    boxes.register(TallConfig)(Tall)
    assert boxes.build(boxes.parse({"kind": "tall", "height": 3, "unit": "km"}), 2).size == (2, 3)
    with pytest.raises(PluginError) as caught:
        boxes._check_signature("tall", TallConfig, Misspelt)
    assert str(caught.value) == (
        "boxes 'tall': the keyword options of Misspelt must be fields of TallConfig, (height, unit); "
        "came (heigth); add a field or drop it"
    )


def test_what_a_family_leaves_to_a_component_is_written(boxes: Registry[Any]) -> None:
    """A module is built without its `forward`, which then gives None: told when it is registered."""

    class TallConfig(BoxConfig):
        kind: Literal["tall"]

    class Box(nn.Module):
        @abstractmethod
        def forward(self, x: Any) -> Any: ...

    class Tall(Box):
        def forwards(self, x: Any) -> Any: ...

    with pytest.raises(PluginError) as caught:
        boxes.register(TallConfig)(Tall)
    assert str(caught.value) == (
        "boxes 'tall': Tall must write what its base class leaves to it; forward came from there; "
        "did you mean 'forwards'?"
    )


def test_a_config_names_its_kind_and_derives_from_the_family(boxes: Registry[Any]) -> None:
    class NamelessConfig(BoxConfig):
        pass

    class TwiceConfig(BoxConfig):
        kind: Literal["a", "b"]

    class StrangerConfig(ComponentConfig):
        kind: Literal["stranger"]

    with pytest.raises(
        PluginError, match=r"NamelessConfig: `kind` is annotated as one name; came <class 'str'>"
    ):
        boxes.register(NamelessConfig)
    with pytest.raises(PluginError, match=r"TwiceConfig: `kind` is annotated as one name"):
        boxes.register(TwiceConfig)
    with pytest.raises(
        PluginError, match="'stranger': StrangerConfig must derive from BoxConfig; it derives fr"
    ):
        boxes.register(StrangerConfig)


def test_nested_problems_are_all_told_with_their_ways(boxes: Registry[Any]) -> None:
    from typing import Annotated

    from pydantic import BeforeValidator, SerializeAsAny

    Box = Annotated[SerializeAsAny[BoxConfig], BeforeValidator(boxes.parse)]

    class Shelf(BaseModel):
        model_config = ConfigDict(strict=True)

        boxes: dict[str, list[Box]]

    good = {"boxes": {"a": [{"kind": "round", "radius": 1.0, "weight": 1.0}]}}
    assert Shelf.model_validate(good).model_dump(mode="json") == good
    with pytest.raises(ValidationError) as caught:
        Shelf.model_validate({"boxes": {"a": [{"kind": "x"}, {"kind": "round", "radius": "", "size": 1}]}})
    assert [error["loc"] for error in caught.value.errors()] == [
        ("boxes", "a", 0, "kind"),
        ("boxes", "a", 1, "radius"),
        ("boxes", "a", 1, "size"),
    ]
