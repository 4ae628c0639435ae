"""YAML 1.2 core: values, places, and every rule that it may break."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mmseq.config.errors import ConfigProblems
from mmseq.config.places import Point, Text
from mmseq.config.yaml import MAX_BYTES, Document, parse_yaml, read_yaml
from mmseq.errors import ConfigError

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__, autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmseq.config.yaml.LOADER", request.param)


def parse(content: str) -> Document:
    return parse_yaml(Text("run.yaml", content))


def problems(content: str) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        parse(content)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("1e-3", 1e-3),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0", 0),
        ("+12", 12),
        ("0o14", 12),
        ("0x1F", 31),
        ("014", 14),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("tRue", "tRue"),
        ("1_000", "1_000"),
        ("12:30:00", "12:30:00"),
        ("2013-01-01", "2013-01-01"),
        ("-0x1", "-0x1"),
        ("1e", "1e"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("''", ""),
        ("<<", "<<"),
    ],
)
def test_words_of_the_core_schema(word: str, value: Any) -> None:
    found = parse(f"a: {word}").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_places_of_keys_and_values() -> None:
    document = parse("a: 1\nb:\n  - {é: x, d: y}\n  - |\n    text\n")
    assert document.value == {"a": 1, "b": [{"é": "x", "d": "y"}, "text\n"]}
    where = {loc: (place.line, place.column) for loc, place in document.values.items()}
    assert where[("a",)] == (0, 3)
    assert where[("b", 0)] == (2, 4)
    assert where[("b", 0, "d")] == (2, 14)
    assert where[("b", 1)] == (3, 4)
    keys = {loc: (place.line, place.column) for loc, place in document.keys.items()}
    assert keys == {("a",): (0, 0), ("b",): (1, 0), ("b", 0, "é"): (2, 5), ("b", 0, "d"): (2, 11)}
    assert str(document.values[("b", 0, "d")]) == "run.yaml:3:15"


@pytest.mark.parametrize(
    ("content", "first_line"),
    [
        ("a: 1\na: 2", "run.yaml:2:1: a: appears twice, first in line 1; keep one"),
        ("a: &x 1", "run.yaml:1:4: a: anchors are not read; remove &x"),
        ("a: {b: *x}", "run.yaml:1:8: a.b: aliases are not read; came *x; repeat the value"),
        (
            "a: !!str 1",
            "run.yaml:1:4: a: tags are not read; came tag:yaml.org,2002:str; remove it, or quote the text",
        ),
        ("a: ! 1", "run.yaml:1:4: a: tags are not read; came !; remove it, or quote the text"),
        ("!x a: 1", "run.yaml:1:1: tags are not read; came !x; remove it, or quote the text"),
        ("a: .inf", "run.yaml:1:4: a: a number is finite; came .inf; quote it if it is a text"),
        ("a: -.INF", "run.yaml:1:4: a: a number is finite; came -.INF; quote it if it is a text"),
        ("a: .nan", "run.yaml:1:4: a: a number is finite; came .nan; quote it if it is a text"),
        ("a: 1e999", "run.yaml:1:4: a: a number is finite; came 1e999; quote it if it is a text"),
        (
            "a: 9223372036854775808",
            "run.yaml:1:4: a: a whole number fits in 64 bits; came 9223372036854775808; "
            "quote it if it is a text",
        ),
        ("1: a", "run.yaml:1:1: a key is a word; came 1; quote it"),
        ("? [a, [b]]\n: 1", "run.yaml:1:3: a key is a word; came a list, a map or an alias; quote it"),
        ("", "run.yaml:1:1: needs some content; came an empty text"),
        ("# only a comment", "run.yaml:1:1: needs some content; came an empty text"),
        ("a: 1\n---\nb: 1", "run.yaml:2:1: holds one document; remove what follows `---`"),
        (
            "%YAML 1.1\n---\na: 1",
            "run.yaml:1:1: is read as plain YAML 1.2; remove the line that starts with %",
        ),
    ],
)
def test_each_rule_says_where_and_what_to_do(content: str, first_line: str) -> None:
    (problem,) = problems(content)
    assert problem.splitlines()[0] == first_line


def test_the_line_is_shown_with_a_caret() -> None:
    (problem,) = problems("x: 1\nb: [1, .nan]")
    assert problem.splitlines()[1:] == ["    b: [1, .nan]", "           ^"]


def test_all_broken_rules_come_at_once() -> None:
    assert len(problems("a: &x 1\nb: *x\nc: .inf\n2: c")) == 4


@pytest.mark.parametrize(
    ("content", "place", "hint"),
    [
        ("a:\n\tb: 1", "run.yaml:2:1", "indent by spaces"),
        ("a: b: c", "run.yaml:1:5", "quote a text that holds `: `"),
        ("a: @x", "run.yaml:1:4", "quote a text that starts with a sign"),
        ("a: b\x01", "run.yaml:1:5", "remove it"),
        ("x: 1\na: [1, 2", "run.yaml:", "check brackets"),
        ("a: 'x", "run.yaml:1:6: ", "while scanning a quoted scalar that starts at 1:4; check brackets"),
        (
            "b: [1,\nx: 2\n",
            "run.yaml:3:1: ",
            "that starts at 1:4; check brackets, commas, quotes and indents ",
        ),
        ("é: [1,\n  'x': @", "run.yaml:2:8: ", "(near 'x')"),
    ],
)
def test_broken_syntax(content: str, place: str, hint: str) -> None:
    (problem,) = problems(content)
    assert problem.startswith(place)
    assert "is not YAML" in problem
    assert hint in problem


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_depth_is_limited(opening: str, closing: str) -> None:
    parse(opening * 32 + "x" + closing * 32)
    (problem,) = problems(opening * 33 + "x" + closing * 33)
    assert "nested deeper than 32 levels" in problem


def test_deep_nesting_never_recurses() -> None:
    (problem,) = problems("[" * 100_000)
    assert problem.startswith("run.yaml:1:")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with pytest.raises(ConfigError, match=r"a\.yaml: cannot be read: No such file or directory; name a YAML"):
        read_yaml(path)
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(
        ConfigError, match=r"a\.yaml:2:4: a configuration is UTF-8; came the byte 0xff; .*near 'b'"
    ):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbf\xff: 1\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:1:1: a configuration is UTF-8; came the byte 0xff"):
        read_yaml(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"a\.yaml:1:1000001: a configuration has at most 1000000 by"):
        read_yaml(path)
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(path).value == {"a": 1, "b": 2}
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte; name a YAML file"):
        read_yaml(Path("a\0.yaml"))


def test_of_a_long_line_the_part_around_the_caret_is_shown() -> None:
    place = Point(Text("run.yaml", "x" * 500 + "HERE" + "y" * 500), 0, 500)
    line, caret = place.excerpt().splitlines()
    assert len(line) < 130
    assert line[caret.index("^") :].startswith("HERE")
