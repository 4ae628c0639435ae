"""`mmseq stream`: lines in, lines out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import mmseq
from mmseq.bundle import OLD
from mmseq.cli.main import main

LINES = [
    {"id": "a", "time": 1, "values": {"vitals": {"heart": 80, "noise": 1.5}, "ward": "icu", "age": 40}},
    {"id": "b", "time": 2.5, "values": {"codes": "x"}},
    {"id": "a", "time": 3, "values": {"vitals": [{"heart": 90}, {"noise": 2}]}},
]


@pytest.fixture
def stream(toy_run: mmseq.Run, monkeypatch: pytest.MonkeyPatch) -> object:
    def run(lines: list[object], *options: str) -> int:
        text = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
        return main(["stream", str(toy_run.path), *options])

    return run


def test_each_line_has_its_answer(
    stream: object, toy_run: mmseq.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stream([*LINES, b"", {"id": "a", "forget": True}, {"id": "b", "flush": True}]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    live = mmseq.Stream(toy_run.model())
    assert rows == [live.push(**line) for line in LINES]
    assert [(row["id"], row["time"]) for row in rows] == [("a", 1), ("b", 2.5), ("a", 3)]


@pytest.mark.parametrize("is_killed", [False, True])
def test_goes_on_from_a_state(
    stream: object, is_killed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where a kill fell amid its replacement. Caught: a new stream begun in its place."""
    assert stream(LINES) == 0
    whole = capsys.readouterr().out
    state = ["--state", str(tmp_path / "state")]
    assert stream(LINES[:1], *state) == 0
    if is_killed:
        (tmp_path / "state").rename(tmp_path / f"{OLD}state")
    assert stream(LINES[1:], *state) == 0
    assert capsys.readouterr().out == whole
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "standard input, line 2: a line is JSON"),
        (b'{"id": "\xff"}', "standard input, line 2: a line is JSON in UTF-8"),
        (b'{"id": "\\ud800", "forget": true}', "standard input, line 2: a line is JSON in UTF-8"),
        (b"[1]", 'standard input, line 2: a line is {"id": '),
        (
            {"id": "a", "time": 1, "values": {"vitals": {"heart": 1}}},
            "line 2: sample 'a', time 1: must be later",
        ),
        ({"id": 3, "time": 9, "values": {"vitals": {"heart": 1}}}, '"id" is text; came 3'),
        ({"id": "q", "forget": True}, "'q': no such sample in this stream"),
        ({"id": "a", "forget": False}, '"forget" is true, or the line leaves it out'),
    ],
)
def test_a_bad_line_is_told_by_its_number(
    stream: object, capsys: pytest.CaptureFixture[str], line: object, message: str
) -> None:
    assert stream([LINES[0], line, LINES[1]]) == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 and message in err and "Traceback" not in err
    assert stream([LINES[0], line, LINES[1]], "--keep-going") == 2
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2 and message in err


@pytest.mark.parametrize("is_file", [True, False])
def test_a_state_replaces_nothing_else(
    stream: object, tmp_path: Path, is_file: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "mine"
    if is_file:
        place.write_text("precious")
    else:
        place.mkdir()
    assert stream(LINES, "--state", str(place)) == 1
    out, err = capsys.readouterr()
    assert not out and "something else is there" in err
    assert place.read_text() == "precious" if is_file else place.is_dir()
