"""Runs a command line in this process and keeps what it left."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmseq.cli.main import main

RUN = """\
name: flights
data: {source: {kind: tables, root: ../tables}}
modalities:
  flights: {kind: numeric, table: flights.csv, time: minute, columns: [delay]}
  calendar: {kind: category, table: samples.csv, column: month}
core: {kind: lstm, hidden: 8}
tasks: {level: {kind: classification, table: labels.csv, column: level}}
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: str
    err: str


@pytest.fixture
def mmseq(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def run_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(RUN)
    return path


@dataclass(frozen=True)
class Work:
    """A working directory with small tables and the YAML of a run on them.

    Attributes:
        path: where it is.
    """

    path: Path

    def edit(self, name: str, pattern: str, replacement: str) -> None:
        """Changes the first match in a file; `^` and `$` are the ends of a line."""
        path = self.path / name
        text, n = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.MULTILINE)
        assert n == 1, f"{name} has no {pattern}"
        path.write_text(text)

    def row(self, name: str, pattern: str) -> int:
        """The row, header included, of the first line that matches."""
        lines = (self.path / name).read_text().splitlines()
        return next(i for i, line in enumerate(lines, 1) if re.search(pattern, line))

    def files(self) -> set[str]:
        """Everything that is here, folders and hidden files too."""
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*")}


@pytest.fixture
def work(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """We are in it."""
    shutil.copytree(toy.parent / "data", tmp_path / "data")
    shutil.copy(toy, tmp_path / "toy.yaml")
    monkeypatch.chdir(tmp_path)
    return Work(tmp_path)
