"""Configurations that were written to do harm, or in some other language: each is told where and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import mmseq
from mmseq.cli.main import main as command_line
from mmseq.config.errors import ConfigProblems

GOOD = """\
name: good
data: {source: {kind: tables, root: data, id: id}}
modalities:
  vitals: {kind: numeric, table: vitals.csv, time: minute, columns: [heart]}
core: {kind: lstm, hidden: 8}
tasks: {level: {kind: regression, table: labels.csv, column: level}}
training: {epochs: 1}
"""
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def added(text: str) -> str:
    return GOOD + text


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    # What YAML can do that a configuration must not.
    "alias": (added("x: {b: 1}\ny: *a\n"), "9:4: y: aliases are not read; came *a; repeat the value"),
    "anchor": (changed("8}", "&n 8}"), "5:28: core.hidden: anchors are not read; remove &n"),
    "billion laughs": (LAUGHS + GOOD, "1:4: a: anchors are not read; remove &a"),
    "alias to itself": (added("x: &a [*a]\n"), "8:4: x: anchors are not read; remove &a"),
    "alias as a key": (added("*a : 1\n"), "8:1: a key is a word; came a list, a map or an alias; quote it"),
    "merge key": (
        changed("{epochs: 1}", "{<<: {epochs: 1}}"),
        "7:12: training.<<: unknown key; known: epochs",
    ),
    "merge of an alias": (added("x: {<<: *a}\n"), "8:9: x.<<: aliases are not read; came *a"),
    "python object": (
        changed("good", "!!python/object/apply:os.system [touch x]"),
        "1:7: name: tags are not read; came tag:yaml.org,2002:python/object/apply:os.system; remove it",
    ),
    "python name": (changed("good", "!!python/name:os.system"), "1:7: name: tags are not read"),
    "own tag": (changed("8}", "!size 8}"), "5:28: core.hidden: tags are not read; came !size"),
    "tag of a map": (changed("{epochs", "!!omap {epochs"), "7:11: training: tags are not read"),
    "binary": (changed("good", "!!binary Z29vZA=="), "1:7: name: tags are not read"),
    "set": (changed("[heart]", "!!set {heart}"), "4:69: modalities.vitals.columns: tags are not read"),
    "tag directive": ("%TAG ! tag:x,2000:\n---\n" + GOOD, "1:1: is read as plain YAML 1.2; remove the line"),
    "version 1.1": ("%YAML 1.1\n---\n" + GOOD, "1:1: is read as plain YAML 1.2; remove the line"),
    "two documents": (added("---\nname: other\n"), "8:1: holds one document; remove what follows `---`"),
    "document after an end": (added("...\n---\nx: 1\n"), "9:1: holds one document; remove what follows"),
    # Keys.
    "twice": (added("name: other\n"), "8:1: name: appears twice, first in line 1; keep one"),
    "twice in a flow map": (
        changed("{epochs: 1}", "{epochs: 1, epochs: 2}"),
        "7:23: training.epochs: appears twice",
    ),
    "twice, once quoted": (added('"name": other\n'), "8:1: name: appears twice, first in line 1"),
    "twice, once escaped": (added('"n\\x61me": other\n'), "8:1: name: appears twice, first in line 1"),
    "number as a key": (added("1: x\n"), "8:1: a key is a word; came 1; quote it"),
    "null as a key": (added("~: x\n"), "8:1: a key is a word; came ~; quote it"),
    "nothing as a key": (
        added(": x\n"),
        "8:1: is not YAML: did not find expected key; check brackets, commas",
    ),
    "true as a key": (changed("level:", "true:"), "6:9: tasks: a key is a word; came true; quote it"),
    "NaN as a key": (added(".nan: x\n"), "8:1: a number is finite; came .nan; quote it"),
    "list as a key": (added("? [name, x]\n: y\n"), "8:3: a key is a word; came a list, a map or an alias"),
    "map as a key": (added("? {name: x}\n: y\n"), "8:3: a key is a word; came a list, a map or an alias"),
    "empty key": (added('"": x\n'), "8:1: '': unknown key; known: name, seed"),
    "full-width key": (changed("training", "ｔｒａｉｎｉｎｇ"), "7:1: ｔｒａｉｎｉｎｇ: unknown key"),
    "Cyrillic key": (changed("name", "nаmе"), "1:1: name: is required; it means: name of the run's folder"),
    "key with a space of no width": (
        changed("core", "co\u200bre"),
        "5:1: co\\u200bre: unknown key; known: name",
    ),
    "key of control characters": (added('"\\e[2J": 1\n'), "8:1: \\x1b[2J: unknown key"),
    "attribute as a key": (added("__class__: {}\n"), "8:1: __class__: unknown key"),
    "name of a model's method": (changed("level:", "../x:"), "6:9: tasks.../x: a name has letters, digits"),
    # Numbers.
    "NaN": (changed("8}", ".nan}"), "5:28: core.hidden: a number is finite; came .nan"),
    "infinite": (
        changed("{epochs: 1}", "{clip: .inf}"),
        "7:18: training.clip: a number is finite; came .inf",
    ),
    "overflow": (
        changed("{epochs: 1}", "{clip: 1e400}"),
        "7:18: training.clip: a number is finite; came 1e400",
    ),
    "more than 64 bits": (changed("8}", "9" * 40 + "}"), "5:28: core.hidden: a whole number fits in 64 bits"),
    "a million digits, nearly": (
        changed("8}", "9" * 900_000 + "}"),
        "5:28: core.hidden: a whole number fits",
    ),
    "NaN as a text": (
        changed("{epochs: 1}", "{clip: 'nan'}"),
        "7:18: training.clip: must be a number (came 'nan')",
    ),
    "true for 1": (
        changed("epochs: 1", "epochs: true"),
        "7:20: training.epochs: must be a whole number (came true)",
    ),
    "negative": (changed("8}", "-8}"), "5:28: core.hidden: must be greater than 0 (came -8)"),
    # Size and depth.
    "deep list": (
        added("x: " + "[" * 100_000),
        "8:1003: is not YAML: exceeded maximum nesting depth; flatten it (near 'x')",
    ),
    "deep map": (added("x: " + "{a: " * 50_000), "8:128: x.a.a: is nested deeper than 32 levels"),
    "deep block": ("x:\n" + "- " * 20_000 + GOOD, "2:63: x.0.0: is nested deeper than 32 levels"),
    "too large": (
        added("#" * 1_000_000),
        "8:999729: a configuration has at most 1000000 bytes; keep data in",
    ),
    "line of half a million": (changed("good", "g" * 500_000 + "!"), "1:7: name: "),
    "5,000 unknown keys": (
        "".join(f"k{i}: 1\n" for i in range(5_000)),
        "1:1: name: is required; it means: name of the run's folder",
    ),
    # Bytes.
    "UTF-16": (
        GOOD.encode("utf-16"),
        "1:1: a configuration is UTF-8; came the byte 0xff; save the file as UTF-8",
    ),
    "UTF-16, other end, no mark": (
        GOOD.encode("utf-16-be"),
        "1:1: is not YAML: control characters are not allowed",
    ),
    "UTF-32": (GOOD.encode("utf-32"), "1:1: a configuration is UTF-8; came the byte 0xff"),
    "Latin-1": (
        changed("heart", "größe").encode("latin-1"),
        "4:72: a configuration is UTF-8; came the byte 0xf6",
    ),
    "overlong": (b"name: \xc0\xaf\n", "1:7: a configuration is UTF-8; came the byte 0xc0"),
    "half a pair": (b"name: \xed\xa0\x80\n", "1:7: a configuration is UTF-8; came the byte 0xed"),
    "zero byte": (changed("good", "go\0od"), "1:"),
    "zero, escaped": (
        changed("root: data", 'root: "a\\0b"'),
        "2:37: data.source.root: must be a path; came 'a\\x00b'",
    ),
    "half a pair, escaped": (changed("good", '"\\uD800"'), "1:"),
    "beyond Unicode": (changed("good", '"\\U00110000"'), "1:"),
    "control character": (changed("good", "go\x1b[31mod"), "1:"),
    "a mark inside": (changed("core", "\ufeffcore"), "5:2: is not YAML: did not find expected key"),
    "random bytes": (bytes(range(256)), "3:115: a configuration is UTF-8; came the byte 0x80"),
    # Not a configuration.
    "empty": ("", "1:1: needs some content; came an empty text"),
    "only a mark": ("\ufeff", "1:1: needs some content; came an empty text"),
    "only comments": ("# nothing\n\n# here\n", "needs some content; came an empty text"),
    "only ends": ("---\n...\n", "must be a map, with name, data"),
    "a word": ("training", "1:1: must be a map, with name, data"),
    "a list": ("- name: x\n", "1:1: must be a map, with name, data"),
    "null": ("~\n", "1:1: must be a map, with name, data"),
    "JSON, cut": ('{"name": "x", "data": {', "1:"),
    "a web page": ("<!DOCTYPE html>\n<html><body>Not found: 404</body></html>\n", "2:"),
    "a program": ("#!/bin/sh\nrm -rf /\n", "2:1: must be a map"),
    # Syntax.
    "tab": (
        changed("  vitals", "\tvitals"),
        "4:1: is not YAML: found character that cannot start any token; indent by",
    ),
    "open quote": (
        changed("good", "'good"),
        "8:1: is not YAML: found unexpected end of stream while scanning a quoted",
    ),
    "open bracket": (changed("[heart]", "[heart"), "4:"),
    "colon in a text": (changed("good", "a: b"), "1:8: is not YAML: mapping values are not allowed"),
    "sign": (changed("good", "@good"), "1:7: is not YAML: found character that cannot start any token"),
    "bad indent": (changed("core:", " core:"), "5:"),
    "bad escape": (changed("good", '"\\q"'), "1:"),
    # What the values would do.
    "home of nobody": (
        changed("root: data", "root: ~nobody-here/x"),
        "2:37: data.source.root: must be a path; came '~nobody-here/x'",
    ),
    "plugin that is a device": (
        added("plugins: [/dev/zero]\n"),
        "8:11: plugins.0: no such file: /dev/zero; ",
    ),
    "plugin with a zero": (
        added('plugins: ["a\\0.py"]\n'),
        "8:11: plugins.0: must be a path; came 'a\\x00.py'",
    ),
    "plugin of a long name": (added(f"plugins: [{'a' * 5000}.py]\n"), "8:11: plugins.0: no such file: /"),
    "plugin that colours the terminal": (
        added('plugins: ["/\\e[31m.py"]\n'),
        "8:11: plugins.0: no such file: /\\x1b[31m.py; a plugin's path is relative",
    ),
    "plugin of nobody": (added("plugins: [~nobody-here/a.py]\n"), "8:11: plugins.0: must be a path; came"),
    "plugins that are a map": (added("plugins: {a: b}\n"), "8:10: plugins: must be a list (came a map)"),
    "module as a kind": (changed("lstm", "os.system"), "5:14: core.kind: unknown kind 'os.system'; known: "),
    "list as a kind": (changed("lstm", "[lstm]"), "5:14: core.kind: needs `kind`, one of "),
    "name that leaves its folder": (changed("good", "../../x"), "1:7: name: must match pattern"),
    "pattern that is slow to match": (
        added(f"timeline: {{resolution: {'1' * 5000}x}}\n"),
        "8:24: timeline.resolution: ",
    ),
}


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_each_is_told_and_ends_with_2(name: str, tmp_path: Path, capsys: Any) -> None:
    """caught: a place one line below a text that ends too early; no line for a wrong encoding; an empty key
    that is not named; a `RuntimeError` about a home, an `OSError` about a plugin's long name; colours that
    reach the terminal; a duplicate key, an alias or NaN that is let through; another exit code."""
    content, expected = HOSTILE[name]
    path = write(tmp_path / "hostile.yaml", content)
    with pytest.raises(ConfigProblems) as caught:
        mmseq.load_config(path)
    said = str(caught.value)
    assert len(said) < 50 * 3_000
    assert all(c.isprintable() or c in "\n\t" for c in said)
    first = said.replace(f"{path}:", "", 1)
    assert first.startswith(expected) if re.match(r"\d+:", expected) else expected in first
    assert all(
        re.match(rf"{re.escape(str(path))}:\d+:\d+: ", str(problem)) for problem in caught.value.problems
    )
    assert command_line(["check", "-c", str(path)]) == 2
    assert capsys.readouterr() == ("", said + "\n")


def test_it_would_be_good_without_the_harm(tmp_path: Path) -> None:
    """caught: a corpus that is refused for something else."""
    assert mmseq.load_config(write(tmp_path / "good.yaml", GOOD)).name == "good"
    assert (
        mmseq.load_config(write(tmp_path / "good.yaml", "\ufeff" + GOOD.replace("\n", "\r\n"))).name == "good"
    )
    assert len(HOSTILE) >= 40


def test_a_tree_that_holds_itself_is_told() -> None:
    """caught: copying a tree without end, which was a RecursionError."""
    tree: dict[str, Any] = {"name": "x"}
    tree["data"] = tree
    with pytest.raises(
        ConfigProblems, match=r"^data\.data\.data: is nested deeper than 32 levels; flatten it$"
    ):
        mmseq.load_config(tree)
