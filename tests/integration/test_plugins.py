"""The single-file plugins at the top of the project are trained with, as a user would."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from mmseq.cli.main import main

PLUGINS = Path(__file__).parents[2] / "plugins"

RUN = """\
name: run
plugins: [{plugins}/fourier.py, {plugins}/focal.py]
data: {{source: {{kind: tables, root: ., id: id}}, split: {{train: 0.5, validation: 0.25, test: 0.25}}}}
modalities:
  wave:
    kind: numeric
    table: wave.csv
    time: time
    columns: [x]
    encoder: {{kind: fourier, n_frequencies: 3}}
fusion: {{kind: concat, width: 8}}
core: {{kind: lstm, hidden: 8}}
tasks: {{high: {{kind: focal, table: labels.csv, column: high, gamma: 3}}}}
training: {{epochs: 2, batch: {{samples: 4}}, monitor: high/auroc}}
"""


@pytest.fixture
def run_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    generator = random.Random(0)
    with open("wave.csv", "w", newline="") as wave, open("labels.csv", "w", newline="") as labels:
        events, targets = csv.writer(wave), csv.writer(labels)
        events.writerow(("id", "time", "x"))
        targets.writerow(("id", "high"))
        for sample in range(24):
            values = [generator.gauss(0, 1) for _ in range(generator.randrange(1, 9))]
            events.writerows((sample, time, x) for time, x in enumerate(values))
            targets.writerow((sample, int(sum(values) > 0)))
    path = tmp_path / "run.yaml"
    path.write_text(RUN.format(plugins=PLUGINS))
    return path


def test_train_evaluate_and_predict_with_plugins(run_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["train", "--config", str(run_yaml)],
        ["evaluate", "runs/run", "--split", "test"],
        ["predict", "runs/run", "--input", ".", "--output", "out.csv"],
    ):
        code = main(command)
        assert code == 0, capsys.readouterr().err[-2000:]
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert len(rows) == 24
    assert len({float(row["high.high"]) for row in rows}) > 1


@pytest.mark.parametrize("path", sorted(PLUGINS.glob("*.py")), ids=lambda path: path.stem)
def test_a_plugin_has_fewer_than_thirty_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 30
