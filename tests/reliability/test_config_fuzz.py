"""Configurations that were mutated: every one is good, or told with line and key; never a traceback.

`python tests/reliability/test_config_fuzz.py` prints how long a file takes, as one line of JSON.
"""

from __future__ import annotations

import copy
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmseq
from mmseq.cli.main import main as command_line
from mmseq.config.dump import dump_config
from mmseq.config.errors import ConfigProblems, Problem
from mmseq.config.places import Text, dotted
from mmseq.config.yaml import parse_yaml
from mmseq.registry import FAMILIES, family

WIDE = """\
name: wide
seed: 3
data:
  source: {kind: records, path: ../data/records.jsonl, id: key, group: person}
  samples: samples
  until: last
  split: {file: split.json}
  memory_limit: 2.5GB
timeline: {unit: hours, resolution: 1h, anchor: labs}
modalities:
  labs: {kind: numeric, table: labs, time: at, pivot: {code: item, value: value}, clip: [1, 99], fill: decay}
  "1": {kind: category, table: codes, time: at, columns: [a, b], min_count: 2, encoder: {kind: embedding}}
core:
  kind: hierarchical
  levels:
    - {core: {kind: stack, core: {kind: gru, hidden: 8}}}
    - {core: {kind: lstm, hidden: 8, dropout: 0.1}, segment: {marker: "1"}}
tasks:
  level: {kind: regression, table: labels, columns: [x, "y"], transform: log1p, loss: gaussian, weight: 0.5}
training: {precision: 64-true, batch: {steps: 500}, window: null, clip: null, monitor: level/loss}
"""
"""Valid; it sets what the shipped configurations leave out."""

ROOT = Path(__file__).parents[2]
BASES = [*(path.read_text() for path in sorted((ROOT / "configs").glob("*.yaml"))), WIDE]
TREES = [parse_yaml(Text("base.yaml", base)).value for base in BASES]
KINDS = [kind for name in FAMILIES for kind in family(name).kinds()]
WORDS = [
    *("", "~", "null", "on", "1e-3", "0x1F", ".nan", "kind", "Kind", "KIND", "ｋｉｎｄ", "kınd", "٣"),
    *("-", "=", "<<", "…", "\x1b[31m", "a\0b", "a\u2028b", "\ufeff", "\u202e", "\U0001f600", "x" * 300),
    *("~nobody/x", "../..", "/", ".", "__class__", "model_config", "{}", "*a", "!x", "&y", "a: b", "a #b"),
    *("[key]", "0", "training.epochs", "'"),
]  # fmt: skip
PIECES = [
    *(": ", "- ", "{", "}", "[", "]", ",", '"', "'", "|", ">", "&a ", "*a", "? ", "@", "`", "%", "#", "\t"),
    *("  ", "\n", "\r", "\r\n", "\0", "\x07", "\x85", "\u2028", "\ufeff", "é", "１", "𝟙", "x" * 2000),
    *("[" * 50, "{a: " * 50, "9" * 5000, ".inf", "-.INF", ".NaN", "1e999", "0o8", "0x", "1_000", "12:30"),
    *("!!python/object/apply:os.system [ls]", "!!str ", "<<: *a\n", "null: 1\n", "1: 2\n"),
    *("\n---\n", "\n...\n", "%YAML 1.1\n---\n"),
]  # fmt: skip
CHANGES = [
    *("drop", "rename", "misspell", "add", "junk", "number", "text", "swap", "copy", "alias", "wrap", "kind"),
    "order",
]  # fmt: skip
SPOILS = ["insert", "insert", "replace", "bytes", "cut", "repeat", "lines", "encode", "indent"]
BYTES = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc0\xaf", b"\x00", b"\x80", b"\xfe\xff"]
NUMBERS = st.one_of(
    st.sampled_from(
        [0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**40, 1e308, 5e-324, float("nan"), float("inf")]
    ),
    st.integers(),
    st.floats(),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=12), st.sampled_from(WORDS))
KEYS = st.one_of(
    st.sampled_from(WORDS), st.text(max_size=6), st.integers(-9, 9), st.none(), st.tuples(st.text())
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)

Tree = Any
Way = tuple[Any, ...]


def ways(tree: Tree, way: Way = ()) -> list[Way]:
    """The way to every node below the root."""
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, value in inner for found in ((*way, key), *ways(value, (*way, key)))]


def get(tree: Tree, way: Way) -> Tree:
    for key in way:
        tree = tree[key]
    return tree


def rename(tree: dict[Any, Any], old: Any, new: Any) -> None:
    """Keeps the order of the keys."""
    items = [(new if key == old else key, value) for key, value in tree.items()]
    tree.clear()
    tree.update(items)


@st.composite
def misspelt(draw: st.DrawFn, word: str) -> str:
    i = draw(st.integers(0, max(0, len(word) - 1)))
    return draw(
        st.sampled_from(
            [
                word[:i] + word[i + 1 :],
                word[: i + 1] + word[i:],
                word[:i] + word[i:][::-1],
                word.upper(),
                word + "s",
            ]
        )
    )


def mutate(draw: st.DrawFn, tree: dict[str, Any]) -> None:
    """Changes one node, or two."""
    found = ways(tree)
    if not found:
        tree["x"] = draw(JUNK)
        return
    way = draw(st.sampled_from(found))
    parent, key = get(tree, way[:-1]), way[-1]
    value = parent[key]
    match draw(st.sampled_from(CHANGES)):
        case "drop":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            rename(parent, key, draw(KEYS))
        case "misspell" if isinstance(parent, dict):
            rename(parent, key, draw(misspelt(str(key))))
        case "add" if isinstance(value, dict):
            value[draw(KEYS)] = draw(JUNK)
        case "add" if isinstance(value, list):
            value.append(draw(JUNK))
        case "number":
            parent[key] = draw(NUMBERS)
        case "text":
            parent[key] = draw(st.text(max_size=20) | st.sampled_from(WORDS))
        case "swap" | "copy" | "alias" as how:
            other = draw(st.sampled_from(found))
            taken = get(tree, other)
            parent[key] = taken if how == "alias" and other != way[: len(other)] else copy.deepcopy(taken)
            if how == "swap" and way != other[: len(way)] and other != way[: len(other)]:
                get(tree, other[:-1])[other[-1]] = value
        case "wrap":
            for _ in range(draw(st.sampled_from([1, 2, 40]))):
                value = draw(st.sampled_from([[value], {"kind": value}, {"x": value}]))
            parent[key] = value
        case "kind" if isinstance(value, dict):
            value["kind"] = draw(st.sampled_from(KINDS))
        case "order" if isinstance(value, dict):
            items = draw(st.permutations(list(value.items())))
            value.clear()
            value.update(items)
        case _:
            parent[key] = draw(JUNK)


def spoil(draw: st.DrawFn, content: bytes) -> bytes:
    """Changes some bytes, or all by another encoding."""
    start = draw(st.integers(0, len(content)))
    stop = min(len(content), start + draw(st.sampled_from([0, 1, 1, 2, 9, 200])))
    match draw(st.sampled_from(SPOILS)):
        case "insert":
            return content[:start] + draw(st.sampled_from(PIECES)).encode() + content[start:]
        case "replace":
            return content[:start] + draw(st.sampled_from(PIECES)).encode() + content[stop:]
        case "bytes":
            return content[:start] + draw(st.sampled_from(BYTES) | st.binary(max_size=4)) + content[stop:]
        case "cut":
            return content[:start] if draw(st.booleans()) else content[:start] + content[stop:]
        case "repeat":
            return content[:stop] + content[start:]
        case "lines":
            return b"\n".join(draw(st.permutations(content.split(b"\n"))))
        case "indent":
            lines = content.split(b"\n")
            i = draw(st.integers(0, len(lines) - 1))
            lines[i] = draw(st.sampled_from([b" ", b"\t", b"   "])) + lines[i]
            return b"\n".join(lines)
    encoding = draw(
        st.sampled_from(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "utf-7", "cp037"])
    )
    return content.decode("utf-8", "replace").encode(encoding, "replace")


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """The content of a file that was a good configuration."""
    i = draw(st.integers(0, len(BASES) - 1))
    content = BASES[i].encode()
    if n := draw(st.sampled_from([0, 1, 1, 1, 2, 4])):
        tree = copy.deepcopy(TREES[i])
        for _ in range(n):
            mutate(draw, tree)
        flow = draw(st.sampled_from([None, True, False]))
        dump = yaml.safe_dump(
            tree, sort_keys=False, allow_unicode=draw(st.booleans()), default_flow_style=flow
        )
        content = dump.encode()
    for _ in range(draw(st.sampled_from([0, 0, 1, 3])) if n else draw(st.integers(1, 4))):
        content = spoil(draw, content)
    return content


def each(n: int, judge: Callable[[bytes], None]) -> None:
    """The same mutants every time, and nothing kept between times."""

    @settings(
        max_examples=n,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutants())
    def run(content: bytes) -> None:
        judge(content)

    run()


WHOLE = (  # rules about all of the text, or of a part of it that has no key
    "must be a map, with name, data, …",
    "needs some content",
    "is read as plain YAML 1.2",
    "holds one document",
    "is not YAML",
    "a configuration is UTF-8",
    "a key is a word",
    "anchors are not read",
    "tags are not read",
    "aliases are not read",
    "a number is finite",
    "a whole number fits",
)


def check_told(problem: Problem, path: Path) -> None:
    """File, line, column and key stand at the start of what is said, and are right."""
    said = str(problem)
    assert all(c.isprintable() or c in "\n\t" for c in said), ascii(said)
    where = re.match(rf"{re.escape(str(path))}:(\d+):(\d+): ", said)
    assert where, said
    text = path.read_bytes().decode("utf-8-sig", "replace")
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
    line, column = int(where[1]), int(where[2])
    assert line <= len(lines) and column <= len(lines[line - 1]) + 1, said
    rest = said[where.end() :]
    if not problem.loc:
        assert rest.startswith(WHOLE), said
        return
    key = problem.loc[-1]
    assert rest.startswith(f"{dotted(problem.loc)}: "), said
    if isinstance(key, str) and re.fullmatch("[a-z_]+", key) and "is required" not in problem.message:
        assert any(key in written for written in lines[:line]), said
        if problem.message.startswith("unknown key"):
            assert lines[line - 1][column - 1 :].lstrip("\"'").startswith(key), said


def judge(path: Path) -> str:
    """Loads a file: `good`, and its dump loads to the same; or else all that is wrong with it is told."""
    try:
        experiment = mmseq.load_config(path)
    except ConfigProblems as error:
        assert error.exit_code == 2
        assert error.problems
        for problem in error.problems:
            check_told(problem, path)
        return "told"
    dump = dump_config(experiment)
    again = path.with_name("again.yaml")
    again.write_text(dump)
    assert mmseq.load_config(again) == experiment
    assert dump_config(mmseq.load_config(again)) == dump
    return "good"


@pytest.mark.parametrize("n", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_mutant_is_good_or_told(n: int, tmp_path: Path) -> None:
    """caught: a key that `_way` drops from what is told; a text such as `~`, `true` or `1e-3` that is written
    without quotes, and reads as another value; a place below the last line; one column or line too many."""
    path, counts = tmp_path / "mutant.yaml", Counter[str]()

    def write_and_judge(content: bytes) -> None:
        path.write_bytes(content)
        counts[judge(path)] += 1

    each(n, write_and_judge)
    assert counts["good"] >= n / 30, counts
    assert counts["told"] >= n / 2, counts


@pytest.mark.parametrize("n", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_the_command_line_tells_mutants_and_ends_with_2(n: int, tmp_path: Path) -> None:
    """caught: a verb that ends with 1, or fails where the configuration is good."""
    path, codes = tmp_path / "mutant.yaml", Counter[int]()

    def check(content: bytes) -> None:
        path.write_bytes(content)
        told = ""
        try:
            mmseq.load_config(path)
        except ConfigProblems as error:
            told = f"{error}\n"
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = command_line(["check", "-c", str(path)])
        assert (code, err.getvalue()) == (2 if told else 0, told)
        assert bool(out.getvalue()) != bool(told)
        codes[code] += 1

    each(n, check)
    assert codes[0] and codes[2] > n / 2, codes


@pytest.mark.parametrize("n", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_override_is_good_or_told(n: int, tmp_path: Path) -> None:
    """caught: an index of 5,000 digits, which was a traceback."""
    path = tmp_path / "run.yaml"
    path.write_text(WIDE)
    tree = parse_yaml(Text("run.yaml", WIDE)).value
    nodes = st.sampled_from(ways(tree))
    lists = st.sampled_from([way for way in ways(tree) if isinstance(get(tree, way), list)])
    part = st.sampled_from(WORDS) | st.text(max_size=4)
    index = st.sampled_from(["9" * 5000, "٣", "-1", "9", "0"])
    way = st.one_of(
        nodes,
        st.tuples(nodes, part).map(lambda found: (*found[0], found[1])),
        st.tuples(lists, index).map(lambda found: (*found[0], found[1])),
        st.lists(part, max_size=3),
        st.integers(1, 3000).map(lambda depth: ["a"] * depth),
    )

    @settings(max_examples=n, derandomize=True, database=None, deadline=None)
    @given(way, st.sampled_from([*WORDS, *PIECES, "[1, 2", "{a: {b: c}}"]) | st.text(max_size=6))
    def check(way: list[Any], value: str) -> None:
        override = f"{'.'.join(map(str, way))}={value}"
        try:
            mmseq.load_config(path, [override])
        except ConfigProblems as error:
            for problem in error.problems:
                said = str(problem)
                assert re.match(rf"--set |{re.escape(str(path))}:\d+:\d+: ", said), said
                assert all(c.isprintable() or c in "\n\t" for c in said), ascii(said)

    check()


def measure(n: int) -> dict[str, float]:
    """Milliseconds that loading a mutant takes, after the first load has imported all there is."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.yaml"

        def load(content: bytes) -> None:
            path.write_bytes(content)
            start = time.perf_counter()
            try:
                mmseq.load_config(path)
            except ConfigProblems as error:
                str(error)
            seconds.append(time.perf_counter() - start)

        path.write_text(WIDE)
        mmseq.load_config(path)
        each(n, load)
    ranked = sorted(1000 * s for s in seconds)
    shares = {"p50": 0.5, "p99": 0.99, "max": 1}
    return {"files": n, **{name: round(ranked[int(share * (n - 1))], 2) for name, share in shares.items()}}


if __name__ == "__main__":
    print(json.dumps({"config_load_ms": measure(1000)}))
