"""`mmseq evaluate --bootstrap` and `--against`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import mmseq
from mmseq.cli.main import main


@pytest.fixture
def run(toy_run: mmseq.Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy_run.path, tmp_path / "run"))


def test_intervals(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--bootstrap", "20"]) == 0
    said = capsys.readouterr().out
    assert "95 % interval" in said and "validation-intervals.json" in said
    report = json.loads((run / "metrics" / "validation-intervals.json").read_text())
    whole = mmseq.evaluate(mmseq.Run(run), "validation")
    for task, metrics in report.items():
        for name, found in metrics.items():
            assert found["value"] == pytest.approx(whole[task]["metrics"][name], nan_ok=True), (task, name)


def test_a_run_against_itself(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--against", str(run), "--bootstrap", "10"]) == 0
    said = capsys.readouterr().out
    assert "run − run" in said and "does not contain 0" in said
    report = json.loads((run / "metrics" / "validation-against-run.json").read_text())
    seen = [found["difference"] for metrics in report.values() for found in metrics.values()]
    assert all(pair in ([0.0, 0.0], [None, None]) for pair in seen) and [0.0, 0.0] in seen


def test_early_goes_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--early", "--bootstrap", "10"]) == 2
    assert "--early: goes alone" in capsys.readouterr().err
