"""`--set a.b=value`."""

from __future__ import annotations

from typing import Any

import pytest

from mmseq.config.errors import ConfigProblems
from mmseq.config.override import apply_overrides
from mmseq.config.places import Text
from mmseq.config.yaml import Document, parse_yaml

YAML = "name: a\ntraining: {epochs: 3}\nreadout:\n  - {kind: last}\n  - {kind: mean}\nbalance:\n"


@pytest.fixture
def document() -> Document:
    return parse_yaml(Text("run.yaml", YAML))


@pytest.mark.parametrize(
    ("override", "loc", "value"),
    [
        ("training.epochs=5", ("training", "epochs"), 5),
        ("training.optimizer.lr=3e-3", ("training", "optimizer", "lr"), 3e-3),
        ("readout.1.kind=max", ("readout", 1, "kind"), "max"),
        ("readout=[{kind: max}]", ("readout",), [{"kind": "max"}]),
        ("balance.kind=fixed", ("balance", "kind"), "fixed"),
        ("name='1'", ("name",), "1"),
        ("name=a=b", ("name",), "a=b"),
        ("training=null", ("training",), None),
    ],
)
def test_sets_a_value(document: Document, override: str, loc: tuple[Any, ...], value: Any) -> None:
    apply_overrides(document, [override])
    found: Any = document.value
    for part in loc:
        found = found[part]
    assert found == value
    assert str(document.values[loc]) == f"--set {override}"


def test_later_ones_win_and_old_places_are_forgotten(document: Document) -> None:
    apply_overrides(document, ["training={epochs: 7}", "training.epochs=8"])
    assert document.value["training"] == {"epochs": 8}
    assert str(document.values[("training",)]) == "--set training={epochs: 7}"
    assert str(document.keys[("training", "epochs")]) == "--set training.epochs=8"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs", "is written a.b=value, as in training.epochs=3"),
        ("=3", "is written a.b=value, as in training.epochs=3"),
        ("a..b=3", "is written a.b=value, as in training.epochs=3"),
        ("name=", "needs a value; write null for none, and '' for an empty text"),
        ("name.x=1", "name holds 'a', which has no 'x'; set name itself"),
        ("readout.2.kind=last", "readout is a list of 2; came '2'; give an index, or set the whole list"),
        ("readout.first=1", "readout is a list of 2; came 'first'; give an index, or set the whole list"),
        ("readout.٣=1", "readout is a list of 2; came '٣'; give an index, or set the whole list"),
        ("name=&x 1", "anchors are not read; remove &x"),
        ("a." * 32 + "b=1", "a.a.a: is nested deeper than 32 levels; flatten it"),
    ],
)
def test_each_error_names_the_option(document: Document, override: str, message: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        apply_overrides(document, [override])
    assert str(caught.value) == f"--set {override}: {message}"


def test_an_index_of_very_many_digits_is_none(document: Document) -> None:
    """caught: Python refuses to read so long a number, which was a traceback."""
    with pytest.raises(ConfigProblems, match="readout is a list of 2; came '999"):
        apply_overrides(document, ["readout." + "9" * 5_000 + ".kind=max"])


def test_all_errors_at_once(document: Document) -> None:
    with pytest.raises(ConfigProblems) as caught:
        apply_overrides(document, ["a", "name=b", "c"])
    assert len(caught.value.problems) == 2
