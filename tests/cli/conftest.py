"""Runs a command line in this process and keeps what it left."""

from __future__ import annotations

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
